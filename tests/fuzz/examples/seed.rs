//! Writes the seeds of every target into its corpus.

use std::fs;

fn main() -> std::io::Result<()> {
    for (name, seeds) in beadmesh_fuzz::seeds::all() {
        let folder = beadmesh_fuzz::corpus(name);
        fs::create_dir_all(&folder)?;
        for (file, seed) in seeds {
            fs::write(folder.join(file), seed)?;
        }
    }
    Ok(())
}
