//! Zstandard (RFC 8878) as a stream of bounded memory: one frame for each block of data, one after the other, which every
//! program that reads the format takes for one file.

use std::io::{self, BufRead, BufReader, Read, Write};

use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// Bytes of data in a frame.
const BLOCK: usize = 1 << 20;

/// Compresses what is written.
pub(super) struct Compress<W> {
    to: W,
    block: Vec<u8>,
}

impl<W: Write> Compress<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, block: Vec::with_capacity(BLOCK) }
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.frame()?;
        Ok(self.to)
    }

    fn frame(&mut self) -> io::Result<()> {
        if !self.block.is_empty() {
            self.to.write_all(&compress_to_vec(self.block.as_slice(), CompressionLevel::Fastest))?;
            self.block.clear();
        }
        Ok(())
    }
}

impl<W: Write> Write for Compress<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.block.len() == BLOCK {
            self.frame()?;
        }
        let (taken, _) = data.split_at(data.len().min(BLOCK - self.block.len()));
        self.block.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decompresses what is read.
pub(super) struct Decompress<R: Read>(State<R>);

enum State<R: Read> {
    Between(BufReader<R>),
    Within(Box<StreamingDecoder<BufReader<R>, ruzstd::decoding::FrameDecoder>>),
    /// After an error nothing is read any more.
    Broken,
}

impl<R: Read> Decompress<R> {
    pub(super) fn new(from: R) -> Self {
        Self(State::Between(BufReader::new(from)))
    }
}

impl<R: Read> Read for Decompress<R> {
    fn read(&mut self, data: &mut [u8]) -> io::Result<usize> {
        if data.is_empty() {
            return Ok(0);
        }
        loop {
            self.0 = match std::mem::replace(&mut self.0, State::Broken) {
                State::Between(mut from) => {
                    if from.fill_buf()?.is_empty() {
                        self.0 = State::Between(from);
                        return Ok(0);
                    }
                    let decoder = StreamingDecoder::new(from).map_err(io::Error::other)?;
                    State::Within(Box::new(decoder))
                }
                State::Within(mut decoder) => match decoder.read(data)? {
                    0 => {
                        // The decoder reckons it and compares nothing.
                        let (told, is) = (
                            decoder.decoder.get_checksum_from_data(),
                            decoder.decoder.get_calculated_checksum(),
                        );
                        if told.is_some() && told != is {
                            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum is wrong"));
                        }
                        State::Between(decoder.into_inner())
                    }
                    count => {
                        self.0 = State::Within(decoder);
                        return Ok(count);
                    }
                },
                State::Broken => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(data: &[u8]) -> Vec<u8> {
        let mut compress = Compress::new(Vec::new());
        compress.write_all(data).unwrap();
        compress.finish().unwrap()
    }

    #[test]
    fn what_goes_in_comes_out() {
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 77] {
            let data: Vec<u8> = (0..length).map(|at| (at * at / 1000) as u8).collect();
            let mut back = Vec::new();
            Decompress::new(compressed(&data).as_slice()).read_to_end(&mut back).unwrap();
            assert!(back == data, "{length} bytes");
        }
    }

    #[test]
    fn what_is_cut_or_changed_is_an_error() {
        let whole = compressed(&vec![7; 3 * BLOCK]);
        let frame = whole.len() / 3;
        for cut in [1, 3, frame - 1, frame + 1, whole.len() - 1] {
            let mut back = Vec::new();
            Decompress::new(&whole[..cut]).read_to_end(&mut back).unwrap_err();
        }
        Decompress::new(b"no archive at all".as_slice()).read_to_end(&mut Vec::new()).unwrap_err();
        let mut changed = compressed(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let last = changed.len() - 1;
        changed[last] ^= 1;
        Decompress::new(changed.as_slice()).read_to_end(&mut Vec::new()).unwrap_err();
    }
}
