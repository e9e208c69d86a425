//! The file in which causal contexts outlive a command: a JSON object, from `bucket/key` as in the
//! path of a call to the token that the last reply about that key carried.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use hyper::header::HeaderValue;

use super::key::Key;

/// No file is read beyond this, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What is remembered of one key.
#[derive(Debug)]
pub(super) struct Contexts {
    file: PathBuf,
    /// The key's name in the file.
    name: String,
    known: Option<HeaderValue>,
}

impl Contexts {
    /// A file that does not exist remembers nothing yet.
    pub(super) fn read(file: &Path, key: &Key) -> Result<Self> {
        let name = key.path();
        let token = load(file)?.remove(&name);
        let known = token.map(|token| HeaderValue::try_from(token).context("not a context")).transpose();
        let known = known.with_context(|| format!("{}: {name}", file.display()))?;
        Ok(Self { file: file.to_owned(), name, known })
    }

    /// The last context seen of the key.
    pub(super) fn known(&self) -> Option<&HeaderValue> {
        self.known.as_ref()
    }

    /// Remembers this one instead. What others have written into the file meanwhile stays.
    pub(super) fn remember(self, context: &HeaderValue) -> Result<()> {
        let context = context.to_str().context("the reply's Settle-Context is not text")?;
        let mut tokens = load(&self.file)?;
        if tokens.get(&self.name).is_some_and(|token| token == context) {
            return Ok(());
        }
        tokens.insert(self.name, context.to_owned());
        store(&self.file, &tokens)
            .with_context(|| format!("cannot keep the key's context in {}", self.file.display()))
    }
}

fn load(file: &Path) -> Result<BTreeMap<String, String>> {
    let mut text = Vec::new();
    let read = File::open(file).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        read => read.with_context(|| format!("cannot read the contexts in {}", file.display()))?,
    };
    ensure!(
        text.len() as u64 <= FILE_BYTES_MAX,
        "{} has over {FILE_BYTES_MAX} bytes of contexts; begin another file",
        file.display()
    );
    serde_json::from_slice(&text).with_context(|| {
        format!("{} is no file of contexts: it should be absent, or written by settle", file.display())
    })
}

/// Replaces the file as a whole: a reader finds the old one or the new one.
fn store(file: &Path, tokens: &BTreeMap<String, String>) -> Result<()> {
    let directory = file.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(directory)?;
    new.write_all((serde_json::to_string_pretty(tokens)? + "\n").as_bytes())?;
    new.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { bucket: "b".to_owned(), bytes: name.into() }
    }

    #[test]
    fn every_key_has_its_own_context() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("contexts");
        let [a, b] = ["a", "b"].map(|name| Contexts::read(&file, &key(name)).unwrap());
        assert!(a.known().is_none() && b.known().is_none());
        a.remember(&HeaderValue::from_static("one")).unwrap();
        b.remember(&HeaderValue::from_static("two")).unwrap();
        let known = |name| Contexts::read(&file, &key(name)).unwrap().known;
        assert_eq!(known("a"), Some(HeaderValue::from_static("one")));
        assert_eq!(known("b"), Some(HeaderValue::from_static("two")));
        assert_eq!(known("c"), None);
    }

    #[test]
    fn what_is_no_such_file_is_refused_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("notes.txt");
        std::fs::write(&file, "milk, bread").unwrap();
        let error = format!("{:#}", Contexts::read(&file, &key("a")).unwrap_err());
        assert!(error.contains("notes.txt is no file of contexts"), "{error}");
        let error = format!("{:#}", Contexts::read(directory.path(), &key("a")).unwrap_err());
        assert!(error.contains("cannot read the contexts"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "milk, bread");
    }
}
