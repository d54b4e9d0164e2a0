//! Who may come in: passwords, secrets, and who knocks too often.
