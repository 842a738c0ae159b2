//! The certificate of a server, which can be exchanged while it runs.
//!
//! What is exchanged is what the next handshake shows: connections that are there keep theirs.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use drystone_server::TlsAcceptor;
use drystone_sync::{Mutex, PlainArc};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::args::ServeArgs;
use crate::exit::Usage;

/// The files of the certificate and its key, and what they held when they were last of use.
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    provider: PlainArc<CryptoProvider>,
    shown: PlainArc<Shown>,
}

/// What is shown to clients.
#[derive(Debug)]
struct Shown {
    /// A leaf, held for a copy of the pointer.
    pair: Mutex<PlainArc<CertifiedKey>>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<PlainArc<CertifiedKey>> {
        Some(PlainArc::clone(&self.pair.lock()))
    }
}

impl Tls {
    /// What the flags say; `None` without TLS.
    ///
    /// # Errors
    /// When there is one flag without the other, or the files cannot be used.
    pub(crate) fn read(args: &ServeArgs) -> anyhow::Result<Option<Self>> {
        let (cert, key) = match (&args.tls_cert, &args.tls_key) {
            (Some(cert), Some(key)) => (cert.clone(), key.clone()),
            (None, None) => return Ok(None),
            _ => bail!(Usage("--tls-cert and --tls-key go together".into())),
        };
        let provider = PlainArc::new(ring::default_provider());
        let pair = pair(&cert, &key, &provider)?;
        let shown = PlainArc::new(Shown { pair: Mutex::new(PlainArc::new(pair)) });
        Ok(Some(Self { cert, key, provider, shown }))
    }

    /// # Errors
    /// When the library refuses its own defaults.
    pub(crate) fn acceptor(&self) -> anyhow::Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(PlainArc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .context("the TLS library refuses its own defaults")?
            .with_no_client_auth()
            .with_cert_resolver(PlainArc::<Shown>::clone(&self.shown));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(PlainArc::new(config)))
    }

    /// Reads both files again. What cannot be used leaves the pair that is there; the log says
    /// which. Blocks for the files.
    pub(crate) fn reload(&self) {
        let cert = self.cert.display().to_string();
        match pair(&self.cert, &self.key, &self.provider) {
            Ok(pair) => {
                let mut shown = self.shown.pair.lock();
                let is_other = shown.cert != pair.cert;
                *shown = PlainArc::new(pair);
                tracing::info!(cert, is_other, "certificate read again");
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(
                    cert,
                    error,
                    "certificate not read again: the one from before stays"
                );
            }
        }
    }
}

fn pair(cert: &PathBuf, key: &PathBuf, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert)
        .with_context(|| format!("cannot read the certificate {}", cert.display()))?
        .collect();
    let chain =
        chain.with_context(|| format!("{} is not a PEM certificate chain", cert.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read the key {}", key.display()))?;
    let pair: Result<_, rustls::Error> = CertifiedKey::from_der(chain, key, provider);
    pair.context("the certificate and the key do not go together")
}
