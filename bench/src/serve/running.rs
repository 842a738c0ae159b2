//! A server under measurement: started on a free port, killed when it is dropped.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use xtask::process::{Group, Log, tail};
use xtask::stage::Context;

use super::contestant::{Contestant, Site};

const START_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct Running {
    group: Group,
    site: Site,
}

impl Running {
    pub(super) fn start(context: &Context, contestant: &Contestant, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let log = context.log(&format!("peers-{}", contestant.kind.name().replace(' ', "-")))?;
        let site = Site {
            port: free_port()?,
            folder: folder.to_owned(),
            search_path: super::search_path(context),
        };
        let mut command = contestant.command(&site)?;
        command.stdout(log.open()?).stderr(log.open()?);
        let running = Self { group: Group::start(command)?, site };
        running.wait_until_it_listens(context, &log)?;
        Ok(running)
    }

    pub(super) fn id(&self) -> u32 {
        self.group.id()
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.site.port)
    }

    fn wait_until_it_listens(&self, context: &Context, log: &Log) -> Result<()> {
        let deadline = Instant::now() + START_MAX;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.site.port)).is_err() {
            if context.runner.interrupted() {
                bail!("interrupted");
            }
            if self.group.leader_ended()? {
                bail!("it ended before it listened: {}", tail(log.path(), 3));
            }
            if Instant::now() >= deadline {
                bail!(
                    "it does not listen after {} s: {}",
                    START_MAX.as_secs(),
                    tail(log.path(), 3)
                );
            }
            sleep(LOOK);
        }
        Ok(())
    }
}

/// A port that was free a moment ago. If another program takes it meanwhile, the server ends and
/// says so.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr().context("find a free port")?.port())
}
