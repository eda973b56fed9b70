//! What the console was built into, as tables that the build script lists from `ui/dist`; both
//! are empty where nothing was built. Packed forms stand beside the plain one.
//! Must never hold a file that is not one of the build.

/// One file, named as the page names it.
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) plain: &'static [u8],
    pub(super) brotli: Option<&'static [u8]>,
    pub(super) gzip: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/console.rs"));
