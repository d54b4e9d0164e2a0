//! Errors of the store; the variants differ by who can act on them. Pure: no I/O.

/// An error of an operation of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// For the operator: the database is missing, or is not one that this program can use.
    #[error("the database {location} {problem}")]
    UnusableDatabase {
        /// The file, or the scheme of its URL.
        location: String,
        /// What is wrong, and how to solve it.
        problem: String,
    },
    /// Temporary: locked by another process, or the disk is slow or failing.
    #[error("the database does not answer ({0}): try again, and check its disk if this persists")]
    Unavailable(String),
    /// For the operator: nothing more can be stored.
    #[error("the disk that holds the database is full: make room")]
    DiskFull,
    /// For the operator: stored data cannot be decoded.
    #[error("the database contains data that this program did not write ({0}): restore a backup")]
    Corrupt(String),
    /// For the caller: the request conflicts with stored data.
    #[error(transparent)]
    Conflict(#[from] StoreConflict),
    /// For the caller: a text exceeds its limit.
    #[error("{what} is too long: at most {max} bytes")]
    TooLong {
        /// Name of the text, for people.
        what: &'static str,
        /// The limit in bytes.
        max: usize,
    },
    /// For the caller: a collection exceeds its limit.
    #[error("too many {what}: at most {max}")]
    TooMany {
        /// Name of the items, for people.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// For the caller: the text is not a cursor of this server.
    #[error("the cursor is invalid: start from the first page")]
    InvalidCursor,
    /// For the caller: the call never existed, or was deleted.
    #[error("there is no such call; it may have been deleted")]
    NoSuchCall,
    /// For the caller: the user never existed, or was removed.
    #[error("there is no such user; it may have been removed")]
    NoSuchUser,
}

/// A conflict between a request and stored data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreConflict {
    /// User names are unique, ignoring case and look-alike characters.
    #[error("a user with this name, or with one that looks the same, exists: choose another name")]
    NameTaken,
    /// A passkey belongs to one user.
    #[error("this passkey is already registered")]
    PasskeyExists,
    /// At least one admin must remain.
    #[error("this is the last admin: make another user an admin first")]
    LastAdmin,
    /// The first user is created only once.
    #[error("users exist already: sign in as one of them")]
    UsersExist,
}
