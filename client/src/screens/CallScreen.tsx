export function CallScreen({ sid }: { sid: string }) {
  return <h1>{sid}</h1>;
}
