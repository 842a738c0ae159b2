//! A request's document on its way in.
//!
//! A document has to be in memory as a whole to be understood, and for that there is a turn. But a
//! client may take its time to send it. So what comes is put into the spool first, and the turn
//! begins when all of it is here: a client that stops in the middle holds its connection and a slot
//! of a file.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;

use crate::edge::Edge;
use crate::fault::Fault;
use crate::gate::{Share, Size, Turn};
use crate::pace::FIRST_BYTES;
use crate::spool::Slot;

/// In this time a document must be here. At 64 KiB/s the longest takes half of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no document.
#[derive(Debug)]
pub enum Refused {
    /// It has more bytes than a document may have.
    Long,
    /// The client sent nothing for too long, or took too long in all.
    Late,
    /// The connection broke.
    Broken,
    /// It has trailers, which might say what is not looked at.
    Trailers,
    /// The server could not take it.
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for Refused {
    fn from(fault: E) -> Self {
        Self::Fault(fault.into())
    }
}

impl Edge {
    /// Receives a document of at most `bytes_max` bytes, which a slot of the spool holds; then
    /// waits for the turn in which it is in memory.
    pub async fn receive_document(
        &self,
        share: &Share,
        body: &mut (impl Body<Data = Bytes> + Unpin),
        bytes_max: usize,
    ) -> Result<(Bytes, Turn), Refused> {
        let receiving = Receiving {
            edge: self,
            share,
            bytes_max,
            place: DocumentBytes::Connection(BytesMut::new()),
        };
        let received = tokio::time::timeout(PATIENCE, receiving.receive(body)).await;
        match received.map_err(|_| Refused::Late)?? {
            DocumentBytes::Memory(bytes, turn) => Ok((bytes.freeze(), turn)),
            DocumentBytes::Connection(bytes) => {
                Ok((bytes.freeze(), self.turn_for_document(share).await?))
            }
            DocumentBytes::Spool(slot, len) => {
                let turn = self.turn_for_document(share).await?;
                // The job has the turn: if the client goes away, it ends with the job's memory.
                let read = self.run(move || {
                    let mut bytes = vec![0; len];
                    slot.read(0, &mut bytes).map(|()| (Bytes::from(bytes), turn))
                });
                Ok(read.await?.map_err(Fault::spool)?)
            }
        }
    }

    /// A turn to understand a document, or to make an answer, in memory.
    pub async fn turn_for_document(&self, share: &Share) -> Result<Turn, Fault> {
        Ok(self.documents.enter(share, Size::Large).await?)
    }
}

/// Where what has come so far is.
enum DocumentBytes {
    /// With the connection: it is little.
    Connection(BytesMut),
    Spool(Slot, usize),
    /// On a full disk: then it has its turn from here on.
    Memory(BytesMut, Turn),
}

struct Receiving<'a> {
    edge: &'a Edge,
    share: &'a Share,
    bytes_max: usize,
    place: DocumentBytes,
}

impl Receiving<'_> {
    async fn receive(
        mut self,
        body: &mut (impl Body<Data = Bytes> + Unpin),
    ) -> Result<DocumentBytes, Refused> {
        let mut len = 0;
        loop {
            let Some(frame) = self.next(body).await? else { return Ok(self.place) };
            let frame = frame.map_err(|_| Refused::Broken)?;
            let bytes = frame.into_data().map_err(|_| Refused::Trailers)?;
            len += bytes.len();
            if len > self.bytes_max {
                return Err(Refused::Long);
            }
            self.place = self.keep(bytes).await?;
        }
    }

    /// The next piece, or the end. While the client is waited for, its connection may be asked to
    /// make way.
    async fn next<B: Body<Data = Bytes> + Unpin>(
        &self,
        body: &mut B,
    ) -> Result<Option<Result<Frame<Bytes>, B::Error>>, Refused> {
        let silence_max = self.edge.deadlines.get().body;
        let next = tokio::time::timeout(silence_max, body.frame());
        self.edge.admission.eviction.hurry(next).await?.map_err(|_| Refused::Late)
    }

    async fn keep(&mut self, bytes: Bytes) -> Result<DocumentBytes, Refused> {
        let place = std::mem::replace(&mut self.place, DocumentBytes::Connection(BytesMut::new()));
        Ok(match place {
            DocumentBytes::Connection(mut kept) if kept.len() + bytes.len() <= FIRST_BYTES => {
                kept.extend_from_slice(&bytes);
                DocumentBytes::Connection(kept)
            }
            DocumentBytes::Connection(kept) => {
                let slot = self.edge.spool.slot();
                let begun = self.write(slot, 0, kept.freeze()).await?;
                self.write_behind(begun, bytes).await?
            }
            place => self.write_behind(place, bytes).await?,
        })
    }

    async fn write_behind(
        &self,
        place: DocumentBytes,
        bytes: Bytes,
    ) -> Result<DocumentBytes, Refused> {
        match place {
            DocumentBytes::Spool(slot, len) => self.write(slot, len, bytes).await,
            DocumentBytes::Memory(mut kept, turn) => {
                kept.extend_from_slice(&bytes);
                Ok(DocumentBytes::Memory(kept, turn))
            }
            DocumentBytes::Connection(_) => Err(Refused::Fault(Fault::Internal)),
        }
    }

    async fn write(
        &self,
        mut slot: Slot,
        at: usize,
        bytes: Bytes,
    ) -> Result<DocumentBytes, Refused> {
        let (slot, bytes, written) = self
            .edge
            .run(move || {
                let written = slot.write(at as u64, &bytes);
                (slot, bytes, written)
            })
            .await?;
        if written.is_ok() {
            return Ok(DocumentBytes::Spool(slot, at + bytes.len()));
        }
        // The disk is full, most likely. Documents that delete objects must work then, too, so this
        // one goes on in memory. What was written before can be read.
        let turn = self.turn().await?;
        let read = self.edge.run(move || {
            let mut kept = vec![0; at];
            slot.read(0, &mut kept).map(|()| kept)
        });
        let mut kept = BytesMut::from(&read.await?.map_err(Fault::spool)?[..]);
        kept.extend_from_slice(&bytes);
        Ok(DocumentBytes::Memory(kept, turn))
    }

    async fn turn(&self) -> Result<Turn, Fault> {
        self.edge.turn_for_document(self.share).await
    }
}
