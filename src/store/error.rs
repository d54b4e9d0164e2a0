//! What can go wrong with what lasts: variants by who can do something about it. Pure: no I/O.

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operator's: the database is not where it should be, or not what it should be.
    #[error("the database {location} {problem}")]
    UnusableDatabase {
        /// The file, or the scheme of its URL.
        location: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Passes: locked by another process, or the disk is slow or unwell.
    #[error("the database does not answer ({0}): try again, and look at its disk if it lasts")]
    Unavailable(String),
    /// The operator's: nothing more can be kept.
    #[error("the disk that holds the database is full: make room")]
    DiskFull,
    /// The operator's: what was read back is not what was written.
    #[error("the database holds something that this program did not write ({0}): restore a copy")]
    Corrupt(String),
    /// The caller's: it does not go together with what is there.
    #[error(transparent)]
    Conflict(#[from] StoreConflict),
    /// The caller's.
    #[error("{what} is too long: at most {max} bytes")]
    TooLong {
        /// What is, in words.
        what: &'static str,
        /// Bytes that it may have.
        max: usize,
    },
    /// The caller's.
    #[error("too many {what}: at most {max}")]
    TooMany {
        /// What there are too many of, in words.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// The caller's: text that is no cursor of this server.
    #[error("this is no place in the list: begin at its first page")]
    InvalidCursor,
    /// The caller's: never heard of, or deleted.
    #[error("there is no such call; it may have been deleted")]
    NoSuchCall,
    /// The caller's: never heard of, or removed.
    #[error("there is no such user; it may have been removed")]
    NoSuchUser,
}

/// What does not go together with what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreConflict {
    /// Names are unique, whatever the case, and look different.
    #[error("there is a user of this name, or of one that looks the same: choose another name")]
    NameTaken,
    /// A passkey is one user's.
    #[error("this passkey is set up already")]
    PasskeyExists,
    /// Somebody must be able to let others in.
    #[error("this is the last admin: make another one first")]
    LastAdmin,
    /// The first user is made only once.
    #[error("there are users already: sign in as one of them")]
    UsersExist,
}
