//! A reader of frames (RFC 9113, section 4.1) that passes over most of what is in them.

use std::io;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;

/// The bit of a stream's number, and of a window, that means nothing.
const RESERVED: u32 = 1 << 31;

/// What a frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub length: usize,
}

impl Head {
    fn read([a, b, c, kind, flags, stream @ ..]: [u8; 9]) -> Self {
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        Self { kind, flags, stream: u32::from_be_bytes(stream) & !RESERVED, length }
    }

    /// How many bytes of what follows are looked at, again and again.
    fn part(self) -> usize {
        match (self.kind, self.flags & ACK) {
            (SETTINGS, 0) => 6,
            (WINDOW_UPDATE, _) => 4,
            (GOAWAY, _) => 8,
            _ => usize::MAX,
        }
    }
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// A frame begins.
    Frame(Head),
    /// A setting, and its value.
    Setting(u16, u32),
    /// A window grows by so much: a stream's, or with 0 the connection's.
    Window(u32, u32),
    /// The connection ends with this code.
    GoAway(u32),
}

/// A reader of frames, however they are cut.
#[derive(Debug)]
pub(super) struct Frames {
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// So many bytes are to be passed over.
    Skip(usize),
    /// Within a head, of which so many bytes are there.
    Head([u8; 9], usize),
    /// Within a part that is looked at: so many of its bytes are there, and so many of the frame to come.
    Part { of: Head, bytes: [u8; 8], have: usize, left: usize },
}

const FRESH: Place = Place::Head([0; 9], 0);

impl Frames {
    /// Behind so many bytes that are no frames.
    pub fn behind(bytes: usize) -> Self {
        Self { place: if bytes == 0 { FRESH } else { Place::Skip(bytes) } }
    }

    /// Reads on, until `tell` has enough.
    pub fn read(
        &mut self,
        mut bytes: &[u8],
        mut tell: impl FnMut(Said) -> io::Result<()>,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Skip(left) => {
                    let skipped = bytes.len().min(*left);
                    *left -= skipped;
                    bytes = &bytes[skipped..];
                    if *left == 0 {
                        self.place = FRESH;
                    }
                }
                Place::Head(head, have) => {
                    bytes = fill(head, have, bytes);
                    if *have == head.len() {
                        let head = Head::read(*head);
                        self.place = follow(head, head.length);
                        tell(Said::Frame(head))?;
                    }
                }
                Place::Part { of, bytes: part, have, left } => {
                    let (of, before) = (*of, *have);
                    bytes = fill(&mut part[..of.part()], have, bytes);
                    *left -= *have - before;
                    if *have == of.part() {
                        let said = meaning(of, *part);
                        // Of GOAWAY there may be more, which is for people to read.
                        let rest = *left;
                        self.place = match of.kind {
                            GOAWAY if rest > 0 => Place::Skip(rest),
                            _ => follow(of, rest),
                        };
                        tell(said)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Where `left` bytes of a frame follow.
fn follow(of: Head, left: usize) -> Place {
    match left {
        0 => FRESH,
        left if left < of.part() => Place::Skip(left),
        left => Place::Part { of, bytes: [0; 8], have: 0, left },
    }
}

/// Takes what is missing; what is left of `bytes`.
fn fill<'a>(part: &mut [u8], have: &mut usize, bytes: &'a [u8]) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(bytes.len().min(part.len() - *have));
    part[*have..*have + taken.len()].copy_from_slice(taken);
    *have += taken.len();
    rest
}

fn meaning(of: Head, part: [u8; 8]) -> Said {
    let number = |at: usize| part[at..at + 4].iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
    match of.kind {
        SETTINGS => Said::Setting(u16::from_be_bytes([part[0], part[1]]), number(2)),
        GOAWAY => Said::GoAway(number(4)),
        _ => Said::Window(of.stream, number(0) & !RESERVED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let settings = [0, 3, 0, 0, 0, 7, 0, 4, 0, 1, 0, 0];
        let bytes = [
            &b"prefa"[..],
            &frame(SETTINGS, 0, 0, &settings),
            &frame(SETTINGS, ACK, 0, &[]),
            &frame(DATA, END_STREAM, 0x8000_0003, &[6; 300]),
            &frame(WINDOW_UPDATE, 0, 5, &[0x80, 0, 1, 1]),
            // Parts that are too short say nothing.
            &frame(WINDOW_UPDATE, 0, 5, &[1, 1]),
            &frame(SETTINGS, 0, 0, &[0, 4, 0, 0]),
            &frame(GOAWAY, 0, 0, b"\0\0\0\x01\0\0\0\x0bmany pings"),
            &frame(HEADERS, 0, 7, &[]),
        ]
        .concat();
        let begins =
            |kind, flags, stream, length| Said::Frame(Head { kind, flags, stream, length });
        let all = [
            begins(SETTINGS, 0, 0, 12),
            Said::Setting(3, 7),
            Said::Setting(4, 1 << 16),
            begins(SETTINGS, ACK, 0, 0),
            begins(DATA, END_STREAM, 3, 300),
            begins(WINDOW_UPDATE, 0, 5, 4),
            Said::Window(5, 257),
            begins(WINDOW_UPDATE, 0, 5, 2),
            begins(SETTINGS, 0, 0, 4),
            begins(GOAWAY, 0, 0, 18),
            Said::GoAway(11),
            begins(HEADERS, 0, 7, 0),
        ];
        for size in [1, 2, 3, 7, 9, 10, 1000] {
            let (mut frames, mut told) = (Frames::behind(5), Vec::new());
            for piece in bytes.chunks(size) {
                let keep = |said| {
                    told.push(said);
                    Ok(())
                };
                frames.read(piece, keep).unwrap();
            }
            assert_eq!(told, all, "{size}");
        }
    }
}
