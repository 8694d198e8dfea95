//! NumPy's .npz: a zip of .npy files that are not compressed, as `numpy.savez` makes it; what made them is one more entry.

use std::{
    io::{self, Write},
    path::Path,
};

use flate2::Crc;
use serde_json::Value;

use super::{
    array::Array,
    npy::{parse_npy, write_npy},
    output::{REQUEST_FILE, write_error},
};
use crate::{
    error::{Error, Result},
    extract::request::StoreFormat,
    weights::{Archive, Bytes},
};

/// What the names of arrays end in inside of the archive.
const NPY: &str = ".npy";

/// Writes arrays under their names, and the record as `request.json`.
///
/// # Errors
///
/// Where writing fails.
pub fn write_npz(out: &mut dyn Write, arrays: &[(String, &Array, StoreFormat)], record: &Value) -> Result<()> {
    let mut zip = Zip::new(out);
    for (name, array, format) in arrays {
        zip.entry(&format!("{name}{NPY}"), &|out| write_npy(out, array, *format))?;
    }
    zip.entry(REQUEST_FILE, &|out| writeln!(out, "{record:#}").map_err(write_error))?;
    zip.finish()
}

/// A zip without compression (PKWARE's APPNOTE 6.3), its large numbers in the records for large archives.
struct Zip<'a> {
    out: &'a mut dyn Write,
    /// Bytes written.
    at: u64,
    /// What stands at the end.
    directory: Vec<u8>,
    entries: u64,
    /// Numbers from here on are in the records for large archives.
    large: u64,
}

/// Stands for a number that is in the records for large archives.
const ELSEWHERE: u64 = 0xffff_ffff;
/// The version of the format that is needed, in tenths: 2.0, and 4.5 of large archives.
const VERSIONS: [u64; 2] = [20, 45];
/// Names are UTF-8.
const FLAGS: u64 = 1 << 11;
/// The first day that the format knows: the same arrays are the same bytes at any time.
const DATE: u64 = 1 << 5 | 1;

impl<'a> Zip<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out,
            at: 0,
            directory: Vec::new(),
            entries: 0,
            large: ELSEWHERE,
        }
    }

    /// Writes an entry, which `fill` makes twice: its checksum stands before it.
    fn entry(&mut self, name: &str, fill: &dyn Fn(&mut dyn Write) -> Result<()>) -> Result<()> {
        let mut summed = Summed(Crc::new(), 0);
        fill(&mut summed)?;
        let Summed(checksum, bytes) = summed;
        let start = self.at;
        let is_large = bytes.max(start) >= self.large;
        let size = if is_large { ELSEWHERE } else { bytes };
        let of_size = |more: usize| {
            // Version, flags, no compression, midnight, date, checksum, both sizes, lengths of the name and what follows it.
            numbers(&[
                (2, VERSIONS[usize::from(is_large)]),
                (2, FLAGS),
                (2, 0),
                (2, 0),
                (2, DATE),
                (4, u64::from(checksum.sum())),
                (4, size),
                (4, size),
                (2, name.len() as u64),
                (2, more as u64),
            ])
        };
        let sizes = |more: &[(usize, u64)]| match is_large {
            true => numbers(&[&[(2, 1), (2, 16 + 8 * more.len() as u64), (8, bytes), (8, bytes)], more].concat()),
            false => Vec::new(),
        };
        let here = sizes(&[]);
        self.write(&[b"PK\x03\x04", of_size(here.len()).as_slice(), name.as_bytes(), &here].concat())?;
        fill(self.out)?;
        self.at += bytes;
        let there = sizes(&[(8, start)]);
        let place = if is_large { ELSEWHERE } else { start };
        self.directory.extend(b"PK\x01\x02");
        self.directory.extend(numbers(&[(2, VERSIONS[1])]));
        self.directory.extend(of_size(there.len()));
        // No comment, the first disk, no attributes.
        self.directory
            .extend(numbers(&[(2, 0), (2, 0), (2, 0), (4, 0), (4, place)]));
        self.directory.extend(name.as_bytes());
        self.directory.extend(there);
        self.entries += 1;
        Ok(())
    }

    /// Writes the directory, and where it is.
    fn finish(mut self) -> Result<()> {
        const MOST_ENTRIES: u64 = 0xffff;
        let (start, directory) = (self.at, std::mem::take(&mut self.directory));
        let (bytes, entries) = (directory.len() as u64, self.entries);
        self.write(&directory)?;
        let [mut shown_entries, mut shown_bytes, mut shown_start] = [entries, bytes, start];
        if start.max(bytes) >= self.large || entries >= MOST_ENTRIES {
            let record = self.at;
            // The rest of the record has 44 bytes; disks are 0.
            let [needed, large] = [(2, VERSIONS[1]), (8, 44)];
            let counts = [(4, 0), (4, 0), (8, entries), (8, entries), (8, bytes), (8, start)];
            let text = numbers(&[&[large, needed, needed], counts.as_slice()].concat());
            self.write(&[b"PK\x06\x06", text.as_slice()].concat())?;
            let locator = numbers(&[(4, 0), (8, record), (4, 1)]);
            self.write(&[b"PK\x06\x07", locator.as_slice()].concat())?;
            [shown_entries, shown_bytes, shown_start] = [MOST_ENTRIES, ELSEWHERE, ELSEWHERE];
        }
        let (count, length) = ((2, shown_entries), (4, shown_bytes));
        let end = numbers(&[(2, 0), (2, 0), count, count, length, (4, shown_start), (2, 0)]);
        self.write(&[b"PK\x05\x06", end.as_slice()].concat())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes).map_err(write_error)
    }
}

/// Numbers, little-endian, each in so many bytes.
fn numbers(of: &[(usize, u64)]) -> Vec<u8> {
    let bytes = |(width, number): &(usize, u64)| number.to_le_bytes().into_iter().take(*width);
    of.iter().flat_map(bytes).collect()
}

/// Checksum and number of the bytes that are written to it.
struct Summed(Crc, u64);

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        self.1 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The arrays of a file, each read when it is asked for.
pub struct NpzFile {
    archive: Archive,
}

impl NpzFile {
    /// Reads what there is.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or is no zip.
    pub fn open(path: &Path) -> Result<Self> {
        let mut bytes = Bytes::open(path)?;
        let length = bytes.length().map_err(|error| Error::io("read", path, &error))?;
        let archive = Archive::read(&mut bytes, length);
        let archive =
            archive.map_err(|error| error.context(format_args!("{} cannot be read as .npz", path.display())))?;
        Ok(Self { archive })
    }

    /// The names of the arrays, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.archive.names().filter_map(|name| name.strip_suffix(NPY))
    }

    /// The array of a name, from the file that this was opened from; none where there is none.
    ///
    /// # Errors
    ///
    /// Where it is compressed, damaged, or no array of real numbers.
    pub fn load(&self, path: &Path, name: &str) -> Result<Option<Array>> {
        let label = format!("{name} of {}", path.display());
        let named = |error: Error| error.context(&label);
        let Some(entry) = self.archive.get(&format!("{name}{NPY}")).map_err(named)? else {
            return Ok(None);
        };
        let length =
            usize::try_from(entry.bytes).map_err(|_| Error::failed(format!("{label} is larger than memory")))?;
        let bytes = entry.load(&mut Bytes::open(path)?, 0, length).map_err(named)?;
        parse_npy(&mut bytes.as_slice(), entry.bytes, &label).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use serde_json::json;
    use zip::ZipArchive;

    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    /// Two arrays in a zip, whose large numbers begin at `large`.
    fn written(large: u64) -> Result<Vec<u8>> {
        let (a, b) = (
            Array::new(vec![1, 2, 1, 3], vec![0.5; 6])?,
            Array::new(vec![2], vec![-1.0, 65504.0])?,
        );
        let mut bytes = Vec::new();
        let mut zip = Zip::new(&mut bytes);
        zip.large = large;
        zip.entry("a.npy", &|out| write_npy(out, &a, StoreFormat::F32))?;
        zip.entry("b.npy", &|out| write_npy(out, &b, StoreFormat::F16))?;
        zip.finish()?;
        Ok(bytes)
    }

    /// What another implementation reads, and what is read here.
    #[test]
    fn others_read_what_is_written_also_of_large_archives() -> TestResult {
        let place = tempfile::tempdir()?;
        for large in [ELSEWHERE, 300, 0] {
            let bytes = written(large)?;
            let mut other = ZipArchive::new(Cursor::new(&bytes))?;
            assert_eq!(other.len(), 2, "from {large}");
            let path = place.path().join("a.npz");
            std::fs::write(&path, &bytes)?;
            let mine = NpzFile::open(&path)?;
            for (name, shape) in [("a", vec![1, 2, 1, 3]), ("b", vec![2])] {
                let mut npy = Vec::new();
                // Its checksum is compared there.
                other.by_name(&format!("{name}.npy"))?.read_to_end(&mut npy)?;
                let array = parse_npy(&mut npy.as_slice(), npy.len() as u64, name)?;
                assert_eq!(array.shape, shape);
                assert_eq!(mine.load(&path, name)?, Some(array), "{name} from {large}");
            }
            assert_eq!(mine.load(&path, "c")?, None);
        }
        Ok(())
    }

    #[test]
    fn the_record_is_an_entry_and_no_array() -> TestResult {
        let array = Array::new(vec![1], vec![2.0])?;
        let mut bytes = Vec::new();
        write_npz(
            &mut bytes,
            &[("b1".to_owned(), &array, StoreFormat::F32)],
            &json!({ "t": 5 }),
        )?;
        let mut other = ZipArchive::new(Cursor::new(&bytes))?;
        let record: Value = serde_json::from_reader(other.by_name(REQUEST_FILE)?)?;
        assert_eq!(record["t"], 5);
        let place = tempfile::tempdir()?;
        let path = place.path().join("a.npz");
        std::fs::write(&path, &bytes)?;
        assert_eq!(NpzFile::open(&path)?.names().collect::<Vec<_>>(), ["b1"]);
        // Cut off and damaged.
        std::fs::write(&path, &bytes[..bytes.len() - 30])?;
        let cut = NpzFile::open(&path).err().ok_or("it was read")?.to_string();
        assert!(cut.contains("cannot be read as .npz"), "{cut}");
        let mut wrong = bytes.clone();
        wrong[100] ^= 1;
        std::fs::write(&path, &wrong)?;
        assert!(NpzFile::open(&path)?.load(&path, "b1").is_err());
        Ok(())
    }
}
