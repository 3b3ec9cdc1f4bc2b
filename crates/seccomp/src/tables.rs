//! Numbers of system calls, by name and architecture.

include!(concat!(env!("OUT_DIR"), "/tables.rs"));

/// A name that some architecture knows: its place in [`NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name(usize);

impl Name {
    /// Looks a name up.
    pub(crate) fn find(name: &str) -> Option<Name> {
        NAMES.binary_search(&name).ok().map(Name)
    }

    /// Its number in a table, if it has one there.
    pub(crate) fn number(self, table: &[u32]) -> Option<u32> {
        table.get(self.0).copied().filter(|number| *number != u32::MAX)
    }

    pub(crate) fn as_str(self) -> &'static str {
        NAMES[self.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_numbers_of_their_architecture() {
        let read = Name::find("read").unwrap();
        assert_eq!(read.as_str(), "read");
        assert_eq!(read.number(&X86_64), Some(0));
        assert_eq!(read.number(&X86), Some(3));
        assert_eq!(read.number(&AARCH64), Some(63));
        assert_eq!(read.number(&MIPS), Some(4003));
        assert_eq!(Name::find("set_tls").unwrap().number(&ARM), Some(0x0f_0005));
        assert_eq!(Name::find("open").unwrap().number(&RISCV64), None);
        assert_eq!(Name::find("nothing"), None);
    }

    #[test]
    fn new_system_calls_are_known_everywhere() {
        let newest = Name::find("file_getattr").unwrap();
        for table in [&X86_64, &X86, &X32, &AARCH64, &ARM, &RISCV64, &S390X, &S390, &PPC64, &LOONGARCH64] {
            assert_eq!(newest.number(table), Some(468));
        }
    }
}
