//! Name lookups: where the addresses of a gateway come from.
//!
//! The system's own lookup has no limit and cannot be cancelled: a thread waits for it. So there is
//! at most one lookup of a name at a time, and requests wait for it no longer than a connection may
//! take. A name server that hangs holds up one thread, and nothing that needs another name.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, LocalBoxFuture, Shared};

type Addresses = io::Result<Vec<SocketAddr>>;

/// Looks names up. Clones are equal.
#[derive(Clone)]
pub struct Resolver(Arc<dyn Fn(String, u16) -> BoxFuture<'static, Addresses> + Send + Sync>);

impl Resolver {
    /// The system's: `/etc/hosts`, DNS, and whatever else it is configured to ask.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|host, port| async move {
            let found = tokio::net::lookup_host((host, port)).await?;
            Ok(found.collect())
        })
    }

    /// One that asks `lookup` for the addresses of a host, with this port.
    pub fn new<F>(lookup: impl Fn(String, u16) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Addresses> + Send + 'static,
    {
        Self(Arc::new(move |host, port| lookup(host, port).boxed()))
    }

    /// The addresses of a host.
    ///
    /// # Errors
    ///
    /// What the lookup says, and [`io::ErrorKind::NotFound`] for a name without addresses.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped; the system's lookup goes on and is forgotten.
    pub async fn addresses(&self, host: &str, port: u16) -> Addresses {
        let found = (self.0)(host.to_owned(), port).await?;
        if found.is_empty() {
            let message = "the name has no address";
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        Ok(found)
    }
}

impl PartialEq for Resolver {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Resolver {}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// The lookup of one name that is in progress, shared by all requests that need it.
#[derive(Debug, Default)]
pub(super) struct Lookup(RefCell<Option<Shared<LocalBoxFuture<'static, Found>>>>);

type Found = Result<Vec<SocketAddr>, Arc<io::Error>>;

impl Lookup {
    /// The addresses of the host that this lookup is for.
    ///
    /// To be called within a `LocalSet`: the lookup has to go on when all that waited have given
    /// up, or each of them would leave a thread behind.
    pub(super) async fn addresses(&self, resolver: &Resolver, host: &str, port: u16) -> Addresses {
        let in_progress = self.0.borrow().clone();
        let in_progress = in_progress.filter(|lookup| lookup.peek().is_none());
        let lookup = in_progress.unwrap_or_else(|| {
            let (resolver, host) = (resolver.clone(), host.to_owned());
            let lookup = async move { resolver.addresses(&host, port).await.map_err(Arc::new) };
            let lookup = lookup.boxed_local().shared();
            tokio::task::spawn_local(lookup.clone());
            self.0.replace(Some(lookup.clone()));
            lookup
        });
        let found = lookup.await;
        found.map_err(|error| io::Error::new(error.kind(), error))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::task::LocalSet;
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_lookup_at_a_time_serves_all_who_wait_also_if_others_gave_up() {
        let test = async {
            let count = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&count);
            // Takes a minute, and finds an address, then none.
            let resolver = Resolver::new(move |_, port| {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let found = [([127, 0, 0, 1], port).into()];
                sleep(Duration::from_secs(60)).map(move |()| Ok(found[number.min(1)..].to_vec()))
            });
            let lookup = Lookup::default();
            let ask = || lookup.addresses(&resolver, "gateway.example", 443);
            for _ in 0..5 {
                let given_up = timeout(Duration::from_secs(5), ask()).await;
                assert!(given_up.is_err());
            }
            let (first, second) = tokio::join!(ask(), ask());
            assert_eq!(first.unwrap(), second.unwrap());
            assert_eq!(count.load(Ordering::SeqCst), 1);
            let found = ask().await;
            assert_eq!(found.unwrap_err().kind(), io::ErrorKind::NotFound);
            assert_eq!(count.load(Ordering::SeqCst), 2);
        };
        LocalSet::new().run_until(test).await;
    }
}
