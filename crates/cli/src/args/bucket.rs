//! Flags of `bucket`.

use clap::{ArgGroup, Args, Subcommand};

#[derive(Subcommand, Debug)]
pub(crate) enum BucketCommand {
    /// Make a bucket
    Create {
        /// Its name: 3 to 63 of a-z, 0-9, `-` and `.`
        name: String,
        /// Objects may be read by their names without a key; a list of them still needs one
        #[arg(long)]
        public: bool,
    },
    /// List buckets, and which of them are public
    List,
    /// Change a bucket
    Set(BucketSetArgs),
    /// Remove a bucket that has no objects
    Rm {
        /// Its name
        name: String,
    },
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("access").required(true))]
pub(crate) struct BucketSetArgs {
    /// Its name
    pub(crate) name: String,
    /// Objects may be read by their names without a key; a list of them still needs one
    #[arg(long, group = "access")]
    pub(crate) public: bool,
    /// Only keys with a right to it may read its objects
    #[arg(long, group = "access")]
    pub(crate) private: bool,
}
