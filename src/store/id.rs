//! Machine ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 128 random bits. Written as 32 hexadecimal digits; as a UUID (RFC 9562, version 4) where a hypervisor wants one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(u128);

impl MachineId {
    /// How many digits people see and type.
    pub const SHORT: usize = 8;

    /// A new id.
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0; 16];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Ok(Self(u128::from_be_bytes(bytes)))
    }

    /// The first digits, for people.
    pub fn short(self) -> String {
        let mut text = self.to_string();
        text.truncate(Self::SHORT);
        text
    }

    /// `xxxxxxxx-xxxx-4xxx-xxxx-xxxxxxxxxxxx`.
    pub fn uuid(self) -> String {
        let text = self.to_string();
        [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
    }

    /// The id of something that works in this machine's place for a while: always the same one, so that it can be found.
    #[must_use]
    pub fn deputy(self) -> Self {
        // The digits that people see differ; those that make it a UUID do not.
        Self(self.0 ^ 0xffff_ffff << 96)
    }

    /// The raw bits, for what is derived from the id (a MAC address).
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 32 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a machine id (32 hexadecimal digits)")]
pub struct BadId(String);

impl FromStr for MachineId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match u128::from_str_radix(text, 16) {
            Ok(bits) if digits => Ok(Self(bits)),
            _ => Err(BadId(text.chars().take(64).collect())),
        }
    }
}

impl Serialize for MachineId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MachineId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_round_trip_and_has_a_uuid() {
        let id = MachineId::random().unwrap();
        assert_eq!(id.to_string().parse::<MachineId>().unwrap(), id);
        assert_eq!(id.uuid().len(), 36);
        assert_eq!(&id.uuid()[14..15], "4");
        assert!(id.deputy().short() != id.short() && id.deputy().deputy() == id);
        assert!("xyz".parse::<MachineId>().is_err());
        assert!("+123456789012345678901234567890f".parse::<MachineId>().is_err());
    }
}
