//! Flags of what runs a server: `serve` and `key`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand, ValueEnum};

use crate::home;

/// A secret on its way from the command line or a variable; never printed.
#[derive(Clone)]
pub(crate) struct SecretArg(pub(crate) String);

impl std::fmt::Debug for SecretArg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretArg(…)")
    }
}

impl From<&str> for SecretArg {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// How a server writes its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people
    Text,
    /// A JSON object a line
    Json,
}

/// What `serve` and `plan --serve` count with.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ServingArgs {
    /// Clients that may be connected at a time, if the ceilings allow it [default: 512]
    #[arg(
        long,
        env = "DRYSTONE_CONNECTIONS",
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(16..=16_384)
    )]
    pub(crate) connections: Option<u16>,
    /// Bodies that are sent or received at a time, if the ceilings allow it [default: 40]
    #[arg(
        long,
        env = "DRYSTONE_TRANSFERS",
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(8..=512)
    )]
    pub(crate) transfers: Option<u16>,
}

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// The store's folder; made if it does not exist [default: that of --store]
    #[arg(value_name = "STORE", value_parser = home::parser())]
    pub(crate) folder: Option<PathBuf>,
    /// Listen here; port 0 takes a free one [default: 127.0.0.1:7080]
    #[arg(long, env = "DRYSTONE_LISTEN", value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) serving: ServingArgs,
    /// Speak TLS with this chain of certificates (PEM)
    #[arg(long, env = "DRYSTONE_TLS_CERT", value_name = "FILE", value_parser = home::parser())]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(long, env = "DRYSTONE_TLS_KEY", value_name = "FILE", value_parser = home::parser())]
    pub(crate) tls_key: Option<PathBuf>,
    /// Let this access key in, with every right; its secret comes from DRYSTONE_SECRET_KEY
    #[arg(long, env = "DRYSTONE_ACCESS_KEY", value_name = "KEY")]
    pub(crate) access_key: Option<String>,
    /// The secret of --access-key. Better given as a variable: others can read command lines
    #[arg(long, env = "DRYSTONE_SECRET_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) secret_key: Option<SecretArg>,
    /// Listen also elsewhere than on loopback while there are keys whose secret is easily guessed
    #[arg(long, env = "DRYSTONE_ALLOW_WEAK_KEYS", value_parser = BoolishValueParser::new())]
    pub(crate) allow_weak_keys: bool,
    /// How the log on standard error looks; what it says is set by DRYSTONE_LOG, for example
    /// `debug`
    #[arg(long, env = "DRYSTONE_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub(crate) log: LogFormat,
}

#[derive(Subcommand, Debug)]
pub(crate) enum KeyCommand {
    /// Make a key and show it
    Create(KeyCreateArgs),
    /// List keys, without their secrets
    List,
    /// Take a key back
    Revoke {
        /// Its access key
        access: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct KeyCreateArgs {
    /// Whose it is, in words
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// Use this access key instead of a random one; goes with --secret-key
    #[arg(long, env = "DRYSTONE_ACCESS_KEY", value_name = "KEY")]
    pub(crate) access_key: Option<String>,
    /// The secret of --access-key. Better given as a variable: others can read command lines
    #[arg(long, env = "DRYSTONE_SECRET_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) secret_key: Option<SecretArg>,
    /// Only in this bucket; may be repeated [default: every bucket]
    #[arg(long = "bucket", value_name = "BUCKET")]
    pub(crate) buckets: Vec<String>,
    /// It may read objects. Without any of these four: read, write and list
    #[arg(long)]
    pub(crate) read: bool,
    /// It may store and remove objects
    #[arg(long)]
    pub(crate) write: bool,
    /// It may list objects
    #[arg(long)]
    pub(crate) list: bool,
    /// It may do everything, also make and remove buckets
    #[arg(long)]
    pub(crate) admin: bool,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use crate::args::Cli;

    #[test]
    fn the_ranges_of_the_flags_are_those_of_the_configuration_file() {
        for (flag, range) in [
            ("connections", drystone_config::CONNECTIONS),
            ("transfers", drystone_config::TRANSFERS),
        ] {
            let parses = |number: u16| {
                Cli::try_parse_from(["drystone", "serve", &format!("--{flag}={number}")]).is_ok()
            };
            assert!(parses(*range.start()) && !parses(range.start() - 1), "{flag}");
            assert!(parses(*range.end()) && !parses(range.end() + 1), "{flag}");
        }
        Cli::command().debug_assert();
    }
}
