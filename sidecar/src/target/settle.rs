//! A Settle cluster, reached through its HTTP interface.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use settle_wire::http::kv::{self, Options};
use settle_wire::http::{Base, Call, Client, ClientLimits, Failure, HttpError, Response, StatusCode};

use super::placement::{Holders, Placement};
use super::{Answer, Layout, NoAddress, Other, Replica, TargetError};
use crate::traffic::Counters;
use crate::verdict::Slot;

/// The reserved bucket of canaries, which every daemon has.
const BUCKET: &str = "_canary";

/// Keys per page of a listing.
const PAGE_KEYS: usize = 1000;

/// Keys of which one question asks where they lie.
const PLACED_KEYS: u32 = 64;

/// Such questions at most: a replica of one partition in a hundred finds a ring of 16 keys with half of them.
const QUESTIONS_MAX: u32 = 50;

/// Bounds of the client. Idle connections outlast the pause between two uses, so that none is opened
/// amid a measurement, and end before the server's own limit of 30 s.
const CLIENT: ClientLimits = ClientLimits {
    connect: Duration::from_secs(1),
    body_bytes: 8 << 20,
    idle_connections: 4,
    idle: Duration::from_secs(25),
};

/// The own replica's admin endpoint, and a client for all replicas.
#[derive(Debug, Clone)]
pub(crate) struct SettleTarget {
    client: Client,
    admin: Base,
}

/// `GET /v1/members`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Members {
    cluster: String,
    #[serde(rename = "self")]
    own: String,
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    name: String,
    /// Nothing while the replica asked has not been in touch with this one.
    api: Option<String>,
}

/// `GET /v1/layout`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Replicas {
    /// Who holds each key that was asked for; nothing from a store that has no layout.
    replicas: Option<BTreeMap<String, BTreeSet<String>>>,
}

/// A page of `GET /v1/keys/{bucket}`.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    /// Keys, percent-encoded where they need it.
    pub(crate) keys: Vec<String>,
    /// Where the next page begins, if there is one.
    pub(crate) cursor: Option<String>,
}

// === impl SettleTarget ===

impl SettleTarget {
    pub(crate) fn new(admin: Base) -> Self {
        Self { client: Client::new(CLIENT), admin }
    }

    /// Asks the own replica who belongs to the layout, and where the keys of a ring of `wanted` slots lie.
    pub(crate) async fn layout(
        &self,
        key: impl Fn(Slot) -> String,
        wanted: u32,
        deadline: Duration,
    ) -> Result<Layout, TargetError> {
        match self.document(&self.admin, "/v1/members", deadline).await {
            Ok(members) => {
                let mut layout = self.sorted(members)?;
                layout.placement = self.placement(&layout.own.name, key, wanted, deadline).await?;
                layout.peers.retain(|peer| layout.placement.shared_with(&peer.name).is_some());
                Ok(layout)
            }
            Err(TargetError::Refused { status: StatusCode::NOT_FOUND, .. }) => {
                Err(self.wrong_listener(deadline).await)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks where keys lie until `own` holds `wanted` of them.
    async fn placement(
        &self,
        own: &str,
        key: impl Fn(Slot) -> String,
        wanted: u32,
        deadline: Duration,
    ) -> Result<Placement, TargetError> {
        let (mut holders, mut held) = (Holders::new(), 0);
        for question in 0..QUESTIONS_MAX {
            let keys: BTreeMap<String, Slot> = (question * PLACED_KEYS..(question + 1) * PLACED_KEYS)
                .map(|slot| (key(slot), slot))
                .collect();
            let mut path = format!("/v1/layout?bucket={BUCKET}");
            for key in keys.keys() {
                path.push_str("&key=");
                kv::percent_encode(key.as_bytes(), &mut path);
            }
            let answer = match self.document::<Replicas>(&self.admin, &path, deadline).await {
                Ok(Replicas { replicas: Some(replicas) }) => replicas,
                Ok(Replicas { replicas: None }) => return Ok(Placement::everywhere(wanted)),
                Err(TargetError::Refused { status: StatusCode::NOT_FOUND, .. }) => {
                    return Ok(Placement::everywhere(wanted));
                }
                Err(error) => return Err(error),
            };
            for (key, names) in answer {
                held += u32::from(names.contains(own));
                holders.extend(keys.get(&key).map(|slot| (*slot, names)));
            }
            if held >= wanted {
                break;
            }
        }
        Ok(Placement::among(holders, own, wanted))
    }

    /// Finds out what listens at `target.admin` that knows nothing of members, as every replica's admin
    /// listener does: most likely the address for clients was taken.
    async fn wrong_listener(&self, deadline: Duration) -> TargetError {
        let keys = format!("/v1/keys/{BUCKET}?limit=1");
        let is_api = match self.document::<Page>(&self.admin, &keys, deadline).await {
            Ok(_) => true,
            Err(error) => error.is_shedding(),
        };
        let what = match is_api {
            true => "the API address of a replica, where clients read and write, not its admin address",
            false => "not the admin address of a replica: there is no /v1/members",
        };
        TargetError::WrongListener { base: self.admin.clone(), what }
    }

    /// Reads the own replica's counters.
    pub(crate) async fn counters(&self, deadline: Duration) -> Result<Counters, TargetError> {
        let page = self.client.send(&self.admin, &Call::get("/metrics", deadline)).await?;
        let page = accepted(&self.admin, page, &[StatusCode::OK])?;
        let text = String::from_utf8_lossy(&page.body);
        Counters::from_page(&text).ok_or_else(|| TargetError::Nonsense {
            base: self.admin.clone(),
            problem: "its metrics have no settle_writes_total",
        })
    }

    /// Writes a canary through this replica, which acknowledges it alone.
    pub(crate) async fn write(
        &self,
        replica: &Base,
        key: &str,
        value: String,
        deadline: Duration,
    ) -> Result<Answer, TargetError> {
        let options = Options { level: Some("one"), timeout: Some(deadline), ..Options::default() };
        let call = kv::put(BUCKET, key.as_bytes(), Bytes::from(value), &options, deadline);
        self.answer(replica, &call, &[StatusCode::NO_CONTENT, StatusCode::OK, StatusCode::CREATED]).await
    }

    /// Reads what this very replica holds, without any coordination.
    pub(crate) async fn read(
        &self,
        replica: &Base,
        key: &str,
        deadline: Duration,
    ) -> Result<Answer, TargetError> {
        let options = Options { own_replica: true, ..Options::default() };
        let call = kv::get(BUCKET, key.as_bytes(), &options, deadline);
        self.answer(replica, &call, &[StatusCode::OK, StatusCode::NOT_FOUND]).await
    }

    /// Deletes a canary through this replica.
    pub(crate) async fn delete(
        &self,
        replica: &Base,
        key: &str,
        deadline: Duration,
    ) -> Result<(), TargetError> {
        let options = Options { level: Some("one"), timeout: Some(deadline), ..Options::default() };
        let call = kv::delete(BUCKET, key.as_bytes(), &options, deadline);
        self.answer(replica, &call, &[StatusCode::NO_CONTENT, StatusCode::OK]).await.map(drop)
    }

    /// A page of the keys that begin with `prefix`, as this replica knows them.
    pub(crate) async fn keys(
        &self,
        replica: &Base,
        prefix: &str,
        cursor: Option<&str>,
        deadline: Duration,
    ) -> Result<Page, TargetError> {
        let mut path = format!("/v1/keys/{BUCKET}?limit={PAGE_KEYS}&prefix=");
        kv::percent_encode(prefix.as_bytes(), &mut path);
        if let Some(cursor) = cursor {
            path.push_str("&cursor=");
            kv::percent_encode(cursor.as_bytes(), &mut path);
        }
        self.document(replica, &path, deadline).await
    }

    /// GETs a JSON document.
    async fn document<T: DeserializeOwned>(
        &self,
        base: &Base,
        path: &str,
        deadline: Duration,
    ) -> Result<T, TargetError> {
        let response = self.client.send(base, &Call::get(path, deadline)).await?;
        let response = accepted(base, response, &[StatusCode::OK])?;
        serde_json::from_slice(&response.body).map_err(|error| {
            let failure = Failure::Json(error.to_string());
            HttpError { base: base.clone(), failure, sent: Some(response.sent) }.into()
        })
    }

    fn sorted(&self, members: Members) -> Result<Layout, TargetError> {
        let nonsense = |problem| TargetError::Nonsense { base: self.admin.clone(), problem };
        let mut own = None;
        let mut peers = Vec::new();
        for Member { name, api } in members.members {
            let api = api.filter(|text| !text.is_empty()).ok_or(NoAddress::Unknown);
            let api = api.and_then(|text| Ok(text.parse()?));
            if name == members.own {
                let api = api.map_err(|_| nonsense("it does not say its own API address"))?;
                own = Some(Replica { name, api });
            } else {
                // One peer that cannot be asked must not hide the others.
                peers.push(Other { name, api });
            }
        }
        let own = own.ok_or_else(|| nonsense("it is not among its own members"))?;
        Ok(Layout { cluster: members.cluster, own, peers, placement: Placement::everywhere(0) })
    }

    async fn answer(
        &self,
        replica: &Base,
        call: &Call,
        accept: &[StatusCode],
    ) -> Result<Answer, TargetError> {
        let response = accepted(replica, self.client.send(replica, call).await?, accept)?;
        let value = (response.status == StatusCode::OK).then_some(response.body);
        Ok(Answer { value, sent: response.sent, done: response.done })
    }
}

fn accepted(base: &Base, response: Response, accept: &[StatusCode]) -> Result<Response, TargetError> {
    if accept.contains(&response.status) { Ok(response) } else { Err(TargetError::refused(base, &response)) }
}
