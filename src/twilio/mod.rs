//! Twilio's protocols in our words. Twilio's own words stay inside.

pub mod public_url;
pub mod signature;
pub mod stream;
pub mod token;
pub mod twiml;
