//! Disks in pieces: which layer is which part of which file, checked before anything is fetched.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::connection::Connection;
use super::document::{Annotations, Descriptor};
use super::{Digest, Error, media};
use crate::boxes::name::printable;

/// Small enough that little is lost when a transfer is cut for good, and that many layers move at once.
const PIECE: u64 = 64 << 20;

/// The largest piece: more of the largest disks than a manifest has room for would not be layers.
pub(super) const PIECE_LIMIT: u64 = 512 << 20;

/// About how many pieces a file is cut into; a manifest stays far below the size that registries take.
const PIECES: u64 = 256;

/// Layers that move at once. More gain nothing at a registry and cost memory.
const AT_ONCE: usize = 4;

/// Into which lengths a file of `size` bytes is cut.
pub(super) fn piece_length(size: u64) -> u64 {
    (size / PIECES).next_multiple_of(PIECE).clamp(PIECE, PIECE_LIMIT)
}

/// A part of a file, in a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The layer.
    pub layer: Descriptor,
    pub offset: u64,
    /// Its bytes and their digest, decompressed.
    pub size: u64,
    pub digest: Digest,
}

impl Piece {
    /// The notes that a layer carries.
    pub fn annotations(file: &str, offset: u64, size: u64, digest: &Digest) -> Annotations {
        [
            (media::PIECE_FILE, file.to_owned()),
            (media::PIECE_OFFSET, offset.to_string()),
            (media::PIECE_SIZE, size.to_string()),
            (media::PIECE_DIGEST, digest.to_string()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    /// Reads a layer's notes: the file's name, and the piece.
    pub fn read(layer: &Descriptor) -> Result<(String, Self), String> {
        let note = |key: &str| {
            let value = layer.annotations.get(key);
            value.ok_or_else(|| format!("the layer {} has no annotation `{key}`", layer.digest))
        };
        let number = |key: &str| {
            let text = note(key)?;
            text.parse::<u64>().map_err(|_| format!("`{key}` of a layer is `{}`, not a number", printable(text)))
        };
        let piece = Self {
            offset: number(media::PIECE_OFFSET)?,
            size: number(media::PIECE_SIZE)?,
            digest: note(media::PIECE_DIGEST)?.parse()?,
            layer: layer.clone(),
        };
        if piece.size == 0 || piece.size > PIECE_LIMIT {
            return Err(format!("a piece of {} bytes is no piece (at most {PIECE_LIMIT})", piece.size));
        }
        // What compression can add to data that does not compress.
        if layer.size > piece.size + piece.size / 64 + 1024 {
            return Err(format!("the layer {} is larger than what it claims to hold", layer.digest));
        }
        Ok((note(media::PIECE_FILE)?.clone(), piece))
    }
}

/// The pieces of one file in ascending order; what lies between them is zeros.
pub(super) fn ordered(name: &str, size: u64, mut pieces: Vec<Piece>) -> Result<Vec<Piece>, String> {
    pieces.sort_by_key(|piece| piece.offset);
    let mut end = 0;
    for piece in &pieces {
        let behind = piece.offset.checked_add(piece.size).filter(|behind| *behind <= size);
        match behind {
            Some(behind) if piece.offset >= end => end = behind,
            Some(_) => return Err(format!("two pieces of `{name}` overlap at {}", piece.offset)),
            None => return Err(format!("a piece of `{name}` lies behind its {size} bytes")),
        }
    }
    Ok(pieces)
}

/// What lets several threads go on together.
pub(super) trait Gate: Sync {
    /// Fails when the user or another of these threads stopped the work.
    fn check(&self) -> Result<(), Error>;

    /// Stops the others.
    fn halt(&self);
}

impl Gate for Connection {
    fn check(&self) -> Result<(), Error> {
        Self::check(self)
    }

    fn halt(&self) {
        Self::halt(self);
    }
}

/// Does the same to every item, several at once, in their order. The first failure stops all.
pub(super) fn at_once<T: Sync, R: Send>(
    gate: &dyn Gate,
    items: &[T],
    work: impl Fn(usize, &T) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let results: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    let one = || {
        loop {
            let index = next.fetch_add(1, Ordering::SeqCst);
            let Some(item) = items.get(index) else { return };
            match gate.check().and_then(|()| work(index, item)) {
                Ok(result) => results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result)),
                Err(error) => {
                    let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                    // Those that were stopped by another's failure have nothing to say.
                    if !matches!(error, Error::Halted) {
                        failure.get_or_insert(error);
                    }
                    gate.halt();
                    return;
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(items.len()) {
            scope.spawn(one);
        }
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    if results.len() < items.len() {
        return Err(Error::Halted);
    }
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(offset: u64, size: u64) -> Piece {
        let digest = Digest::of(&"0".repeat(64));
        let annotations = Piece::annotations("disk0", offset, size, &digest);
        let (media_type, artifact_type, platform) = (media::PIECE.into(), None, None);
        let layer = Descriptor { media_type, digest: digest.clone(), size: 10, artifact_type, platform, annotations };
        Piece { layer, offset, size, digest }
    }

    #[test]
    fn a_piece_survives_the_round_trip_through_its_annotations() {
        let expected = piece(64, 128);
        assert_eq!(Piece::read(&expected.layer).unwrap(), ("disk0".into(), expected));
    }

    #[test]
    fn pieces_that_lie_are_refused() {
        for (key, value, why) in [
            (media::PIECE_OFFSET, "-1", "not a number"),
            (media::PIECE_SIZE, "0", "no piece"),
            (media::PIECE_SIZE, "99999999999", "no piece"),
            (media::PIECE_DIGEST, "md5:0", "no digest"),
        ] {
            let mut layer = piece(0, 10).layer;
            layer.annotations.insert(key.into(), value.into());
            assert!(Piece::read(&layer).unwrap_err().contains(why));
        }
        let mut large = piece(0, 10).layer;
        large.size = 5000;
        assert!(Piece::read(&large).unwrap_err().contains("larger than what it claims"));
        assert!(ordered("d", 100, vec![piece(50, 50), piece(0, 51)]).unwrap_err().contains("overlap"));
        assert!(ordered("d", 100, vec![piece(51, 50)]).unwrap_err().contains("behind"));
        assert!(ordered("d", 100, vec![piece(u64::MAX, 2)]).unwrap_err().contains("behind"));
        assert_eq!(ordered("d", 100, vec![piece(60, 40), piece(0, 50)]).unwrap()[0].offset, 0);
    }

    #[test]
    fn the_largest_disks_have_few_enough_pieces() {
        for size in [1, PIECE, 1 << 30, 64 << 30, 200 << 30] {
            let length = piece_length(size);
            assert!((PIECE..=PIECE_LIMIT).contains(&length) && size.div_ceil(length) <= 1024, "{size}");
        }
    }
}
