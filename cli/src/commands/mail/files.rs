//! Files that go with a letter: looked at before anything is sent, and uploaded before the letter is.

use std::fs::File;
use std::path::{Path, PathBuf};

use axum::body::Body;
use beadmesh_node::api::model::{ATTACHMENT_BYTES_MAX, ATTACHMENTS_MAX, AttachmentRequest, BlobBody};
use tokio_util::io::{InspectReader, ReaderStream};

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Printer;
use crate::output::progress::Progress;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Files that go with a letter, open and within bounds.
#[derive(Debug)]
pub(super) struct Files(Vec<Attached>);

#[derive(Debug)]
struct Attached {
    path: PathBuf,
    name: String,
    file: File,
    bytes: u64,
}

impl Files {
    /// Opens them.
    ///
    /// # Errors
    ///
    /// Fails when there are too many, or one cannot be read, is no file, is too long, or has a name that is no text.
    pub(super) fn open(paths: &[PathBuf]) -> Result<Self, Failure> {
        if paths.len() > ATTACHMENTS_MAX {
            let failure =
                Failure::usage(format!("attach: {} files, at most {ATTACHMENTS_MAX} may be given", paths.len()));
            return Err(failure.field("attach").hint("pack them into one, or send several letters"));
        }
        paths.iter().map(|path| Attached::open(path)).collect::<Result<_, _>>().map(Self)
    }

    /// Sends their contents to the node, and returns what the letter says of them.
    ///
    /// # Errors
    ///
    /// Fails when the node does not take one of them.
    pub(super) async fn upload(
        self,
        client: &mut Client,
        printer: &Printer,
    ) -> Result<Vec<AttachmentRequest>, Failure> {
        let total = self.0.iter().map(|attached| attached.bytes).sum();
        let progress = (total > 0).then(|| Progress::bytes(printer, "Attaching", Some(total)));
        let mut requests = Vec::with_capacity(self.0.len());
        for Attached { path, name, file, .. } in self.0 {
            let counted = progress.clone();
            // One byte more than may be: a file that has grown meanwhile is refused rather than cut.
            let file = tokio::fs::File::from_std(file);
            let reader = tokio::io::AsyncReadExt::take(file, ATTACHMENT_BYTES_MAX + 1);
            let reader = InspectReader::new(reader, move |bytes| {
                if let Some(progress) = &counted {
                    progress.add(bytes.len());
                }
            });
            let body = Body::from_stream(ReaderStream::with_capacity(reader, CHUNK_BYTES));
            let answer = client.upload::<BlobBody>("/v1/blobs", "application/octet-stream", body).await;
            if let (Err(_), Some(progress)) = (&answer, &progress) {
                progress.clear();
            }
            let BlobBody { hash, .. } = answer.map_err(|mut failure| {
                failure.message =
                    format!("{} is not attached, and the letter is not sent: {}", path.display(), failure.message);
                failure
            })?;
            requests.push(AttachmentRequest { hash, name });
        }
        if let Some(progress) = progress {
            progress.clear();
        }
        Ok(requests)
    }
}

impl Attached {
    fn open(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let unreadable = |error: std::io::Error| {
            Failure::io(format!("{shown} cannot be read"), &error).field("attach").hint("name a file that you can read")
        };
        let wrong =
            |problem: String, hint: &str| Failure::usage(format!("attach: {problem}")).field("attach").hint(hint);
        let found = std::fs::metadata(path).map_err(unreadable)?;
        if !found.is_file() {
            return Err(wrong(format!("{shown} is no file"), "name a file; a folder can be packed into one"));
        }
        let bytes = found.len();
        if bytes > ATTACHMENT_BYTES_MAX {
            let problem = format!("{shown} has {bytes} bytes, at most {ATTACHMENT_BYTES_MAX} are possible");
            return Err(wrong(problem, "split it, pack it, or say in the letter where it can be had"));
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let name =
            name.ok_or_else(|| wrong(format!("the name of {shown} is no text"), "give the file another name"))?;
        if name.contains(char::is_control) {
            return Err(wrong(format!("the name {name:?} holds a control character"), "give the file another name"));
        }
        let file = File::open(path).map_err(unreadable)?;
        Ok(Self { path: path.to_owned(), name: name.to_owned(), file, bytes })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{ATTACHMENT_BYTES_MAX, Files};
    use crate::failure::Exit;

    #[test]
    fn what_can_not_be_attached_is_told_with_bound_and_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("plan.md"), "plan").unwrap();
        fs::write(path("two\nlines"), "x").unwrap();
        fs::File::create(path("large")).unwrap().set_len(ATTACHMENT_BYTES_MAX + 1).unwrap();
        let files = Files::open(&[path("plan.md")]).unwrap();
        assert_eq!((files.0[0].name.as_str(), files.0[0].bytes), ("plan.md", 4));
        for (paths, exit, says) in [
            (vec![path("nothing")], Exit::Failed, "cannot be read"),
            (vec![folder.path().to_owned()], Exit::Usage, "is no file"),
            (vec![path("large")], Exit::Usage, "has 16777217 bytes, at most 16777216 are possible"),
            (vec![path("two\nlines")], Exit::Usage, "holds a control character"),
            (vec![path("plan.md"); 9], Exit::Usage, "9 files, at most 8 may be given"),
        ] {
            let failure = Files::open(&paths).unwrap_err();
            assert_eq!((failure.exit, failure.field.as_deref()), (exit, Some("attach")), "{failure:?}");
            assert!(failure.message.contains(says) && failure.hint.is_some(), "{failure:?}");
        }
    }
}
