/** Makes the first admin, with the link that the server printed: `/setup#SECRET`. */
export function SetupScreen() {
  return <h1>setup</h1>;
}
