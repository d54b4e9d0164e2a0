/** The minimum password length, in characters. The server enforces the same limit. */
export const PASSWORD_CHARACTERS_MIN = 8;
