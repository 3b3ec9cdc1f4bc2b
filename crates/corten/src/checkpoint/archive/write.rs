//! Into the archive.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use tar::{Builder, EntryType, Header};

use super::frames::Compress;
use super::manifest::{CONFIG, IMAGES, Image, MANIFEST, MOST_PARENTS, Manifest, PARENT};
use crate::checkpoint::dump::DESCRIPTORS;
use crate::{Config, Error, Result};

/// The files of a directory that belong to a checkpoint, and those of the pre-dumps that it builds on. Logs and statistics do not.
pub(super) fn images(directory: &Path) -> Result<Vec<Image>> {
    let mut images = Vec::new();
    let (mut prefix, mut place) = (String::new(), directory.to_owned());
    for _ in 0..=MOST_PARENTS {
        images.extend(images_in(&place, &prefix)?);
        place.push(PARENT.trim_end_matches('/'));
        match (fs::symlink_metadata(&place).is_ok(), place.is_dir()) {
            (_, true) => {}
            (false, _) => return Ok(images),
            (true, false) => {
                return Err(Error::invalid(format!(
                    "{} leads to no directory: the images build on a pre-dump, which is missing",
                    place.display()
                )));
            }
        }
        prefix.push_str(PARENT);
    }
    Err(Error::unsupported(format!(
        "the images in {} build on more than {MOST_PARENTS} pre-dumps, and an archive cannot hold more",
        directory.display()
    )))
}

/// The images of one directory, in the order of their names.
fn images_in(directory: &Path, prefix: &str) -> Result<Vec<Image>> {
    let doing = |error: io::Error| Error::io(format!("read the directory {}", directory.display()), error);
    let mut images = Vec::new();
    for entry in fs::read_dir(directory).map_err(doing)? {
        let entry = entry.map_err(doing)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(".img") || (name == DESCRIPTORS && prefix.is_empty()) {
            let size = entry.metadata().map_err(doing)?.len();
            images.push(Image { name: format!("{prefix}{name}"), size });
        }
    }
    images.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(images)
}

/// Writes the whole archive.
pub(super) fn archive(manifest: &Manifest, config: &Config, directory: &Path, to: impl Write) -> Result<()> {
    let doing = |error: io::Error| Error::io("write the archive", error);
    let json = |text: serde_json::Result<Vec<u8>>| text.map_err(|error| doing(error.into()));
    let mut archive = Builder::new(Compress::new(to));
    for (name, text) in
        [(MANIFEST, json(serde_json::to_vec(manifest))?), (CONFIG, json(serde_json::to_vec(config))?)]
    {
        append(&mut archive, name, text.len() as u64, text.as_slice()).map_err(doing)?;
    }
    for Image { name, size } in &manifest.images {
        let path = directory.join(name);
        let file = File::options()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(&path);
        let file = file.map_err(|error| Error::io(format!("open {}", path.display()), error))?;
        // A file that grows meanwhile keeps the size that the manifest tells; one that has shrunk is an error.
        append(&mut archive, &format!("{IMAGES}{name}"), *size, Exactly { file, left: *size })
            .map_err(doing)?;
    }
    archive.into_inner().and_then(Compress::finish).and_then(|mut to| to.flush()).map_err(doing)
}

fn append(archive: &mut Builder<impl Write>, name: &str, size: u64, data: impl Read) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_path(name)?;
    header.set_mode(0o600);
    header.set_size(size);
    header.set_cksum();
    archive.append(&header, data)
}

/// As many bytes of a file as were promised.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let (buffer, _) = buffer.split_at_mut(most);
        let count = self.file.read(buffer)?;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "an image became shorter meanwhile"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}
