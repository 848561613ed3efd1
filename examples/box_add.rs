//! Adds a box to the library below a folder: `box_add FOLDER SOURCE [CHECKSUM]`. For `make bench`, and for faults: it can
//! be killed without the rest of the program around it.

use std::path::Path;
use std::time::Instant;

use vbox_rs::boxes::{AddRequest, Library};
use vbox_rs::error::Failure;
use vbox_rs::progress::Cx;
use vbox_rs::store::Dirs;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (folder, source) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    let library = Library::new(&Dirs::below(Path::new(&folder)));
    let request = AddRequest { source, checksum: arguments.next(), ..AddRequest::default() };
    let began = Instant::now();
    let installed = library.add(&Cx::silent(), &request)?;
    #[expect(clippy::print_stdout, reason = "an example may print")]
    {
        println!("{} {:.3}", installed.manifest.disks[0].sha256, began.elapsed().as_secs_f64());
    }
    Ok(())
}
