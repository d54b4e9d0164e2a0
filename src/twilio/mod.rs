//! Twilio's protocols in our words. Twilio's own words stay inside.

pub mod rest;
pub mod signature;
pub mod stream;
