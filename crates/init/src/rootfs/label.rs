//! SELinux labels as mount options (mount(8), "context").

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, XattrFlags};

/// Options that say what label the files of a mount have.
const OPTIONS: [&str; 4] = ["context", "fscontext", "defcontext", "rootcontext"];

/// Adds the label of the container's mounts, unless the mount has one of its own.
pub(super) fn add(data: &mut Vec<String>, label: Option<(&str, &str)>) {
    let own =
        data.iter().any(|option| option.split_once('=').is_some_and(|(name, _)| OPTIONS.contains(&name)));
    if let (false, Some((option, label))) = (own, label) {
        data.push(format!("{option}={label}"));
    }
}

/// Divides an option at its commas, but for those of a label, which stands in quotes for their sake; the kernel wants it
/// without.
pub(super) fn split(data: &str) -> Vec<String> {
    let mut quoted = false;
    let options = data.split(|character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    });
    let bare = |option: &str| match option.split_once('=') {
        Some((name, value)) if OPTIONS.contains(&name) => format!("{name}={}", value.trim_matches('"')),
        _ => option.to_owned(),
    };
    options.map(bare).collect()
}

/// Labels the root of a mount.
pub(super) fn relabel(mount: &OwnedFd, label: &str) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(mount, ".", flags, Mode::empty())?;
    rustix::fs::fsetxattr(&root, "security.selinux", label.as_bytes(), XattrFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_of_a_label_divide_nothing() {
        let text = r#"size=1k,context="system_u:object_r:container_file_t:s0:c1,c2",mode=700"#;
        let expected = ["size=1k", "context=system_u:object_r:container_file_t:s0:c1,c2", "mode=700"];
        assert_eq!(split(text), expected);
        assert_eq!(split("lowerdir=\"a\""), ["lowerdir=\"a\""]);
    }

    #[test]
    fn a_mounts_own_label_stays() {
        let mut data = vec!["mode=755".to_owned()];
        add(&mut data, None);
        add(&mut data, Some(("fscontext", "a:b:c:s0")));
        add(&mut data, Some(("context", "d:e:f:s0")));
        assert_eq!(data, ["mode=755", "fscontext=a:b:c:s0"]);
    }
}
