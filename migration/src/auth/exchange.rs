//! The exchange of challenges and proofs over a connection.

use crate::auth::proof::{Nonce, Side, Subject, Transcript};
use crate::auth::{Key, TAG_BYTES};
use crate::error::{Error, Result};
use crate::link::{FrameReader, FrameWriter, Patience};
use crate::offer::Refusal;
use crate::wire::{Access, Challenge, Preamble, Proof, Purpose, Refuse};

/// Longest frame that is taken from somebody who has proved nothing. Our choice: every frame that
/// is due by then is shorter.
const MAX_STRANGER_FRAME_BYTES: usize = 256;
const _: () = assert!(TAG_BYTES <= MAX_STRANGER_FRAME_BYTES);

/// A connection whose ends do not know each other yet.
#[derive(Debug)]
pub(crate) struct Parley<'a> {
    pub(crate) reader: &'a mut FrameReader,
    pub(crate) writer: &'a mut FrameWriter,
    pub(crate) patience: Patience,
}

impl Parley<'_> {
    /// The source's part, after its preamble: takes the destination's, and proves and is proved to
    /// if there is a key. Gives the key of the session that may follow.
    ///
    /// # Errors
    /// If the destination speaks another version, has no key, has one and there is none here, or
    /// has another.
    pub(crate) fn as_source(&mut self, key: Option<&Key>, subject: Subject) -> Result<Option<Key>> {
        let ours = Nonce::fresh()?;
        if key.is_some() {
            self.writer.send(&Challenge(ours), self.patience)?;
        }
        let preamble = self.reader.same_version(self.patience)?;
        if preamble.purpose != Purpose::Answer {
            let peer = self.reader.link().peer();
            return Err(Error::NotAPeer { peer });
        }
        self.check_access(preamble, key)?;
        let Some(key) = key else { return Ok(None) };
        let Challenge(theirs) = self.reader.next(self.patience)?.into_frame()?;
        let transcript = Transcript {
            subject,
            source: ours,
            destination: theirs,
        };
        let proof = Proof(key.prove(Side::Source, &transcript));
        self.writer.send(&proof, self.patience)?;
        let answer = self.reader.next(self.patience)?.into_frame();
        match answer {
            Ok(Proof(tag)) if key.proves(Side::Destination, &transcript, tag) => {
                Ok(Some(key.session(&transcript)))
            }
            Ok(_)
            | Err(Error::Refused {
                refusal: Refusal::KeysDiffer,
                ..
            }) => Err(self.keys_differ()),
            Err(error) => Err(error),
        }
    }

    /// The destination's part, after both preambles: is proved to, and proves then. Gives the key
    /// of the session that may follow.
    ///
    /// # Errors
    /// If the source does not prove that it has the key; it was told then.
    pub(crate) fn as_destination(&mut self, key: &Key, subject: Subject) -> Result<Key> {
        let ours = Nonce::fresh()?;
        self.writer.send(&Challenge(ours), self.patience)?;
        let Challenge(theirs) = self.next_short()?;
        let transcript = Transcript {
            subject,
            source: theirs,
            destination: ours,
        };
        let Proof(tag) = self.next_short()?;
        if !key.proves(Side::Source, &transcript, tag) {
            self.writer
                .send(&Refuse(Refusal::KeysDiffer), self.patience)?;
            self.writer.link().close_gently(self.patience);
            return Err(self.keys_differ());
        }
        let proof = Proof(key.prove(Side::Destination, &transcript));
        self.writer.send(&proof, self.patience)?;
        Ok(key.session(&transcript))
    }

    /// [`as_destination`](Self::as_destination) where there is a key; nothing without.
    pub(crate) fn session_key(
        &mut self,
        key: Option<&Key>,
        subject: Subject,
    ) -> Result<Option<Key>> {
        key.map(|key| self.as_destination(key, subject)).transpose()
    }

    /// Tells the source what this end wants of it, if it cannot know yet, and checks that both want
    /// the same.
    ///
    /// # Errors
    /// If they do not. Nothing more is said then, since the preamble says it.
    pub(crate) fn answer(&mut self, theirs: Preamble, key: Option<&Key>) -> Result<()> {
        let ours = Access::of(key);
        let agreed = self.check_access(theirs, key);
        // An open page connection is one-way until a page is asked for.
        if agreed.is_err() || theirs.purpose != Purpose::Attach || ours != Access::Open {
            let preamble = Preamble::new(Purpose::Answer, ours);
            self.writer.preamble(preamble, self.patience)?;
        }
        if agreed.is_err() {
            self.writer.link().close_gently(self.patience);
        }
        agreed
    }

    fn check_access(&self, theirs: Preamble, key: Option<&Key>) -> Result<()> {
        let peer = self.reader.link().peer();
        match (Access::of(key), theirs.access) {
            (Access::Open, Access::Open) | (Access::Key, Access::Key) => Ok(()),
            (_, Access::Tls) => Err(Error::TlsWanted { peer }),
            (_, Access::Key) => Err(Error::KeyWanted { peer }),
            (_, Access::Open) => Err(Error::KeyAbsent { peer }),
            (_, Access::Unknown(_)) => Err(Error::NotAPeer { peer }),
        }
    }

    /// The next frame, which is short.
    pub(crate) fn next_short<F: crate::wire::Frame>(&mut self) -> Result<F> {
        self.reader
            .next_within(MAX_STRANGER_FRAME_BYTES, self.patience)?
            .into_frame()
    }

    fn keys_differ(&self) -> Error {
        Error::KeysDiffer {
            peer: self.reader.link().peer(),
        }
    }
}

impl Access {
    pub(crate) fn of(key: Option<&Key>) -> Self {
        if key.is_some() { Self::Key } else { Self::Open }
    }
}
