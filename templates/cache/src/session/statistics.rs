//! `stats`: only what this server really has; memcached's names where it has the same.

use super::Stream;
use super::responder::{HEAD_MAX, Responder, VERSION};
use crate::protocol::Stats;
use crate::store::{BLOCK_LEN, SEGMENT_BLOCKS};
use denali_rt::io;

impl<S: Stream> Responder<'_, S> {
    /// Answers `stats`, but for `stats reset`.
    pub fn stats(&mut self, which: Stats) -> io::Result<()> {
        match which {
            Stats::General => self.stats_general()?,
            Stats::Settings => self.stats_settings()?,
            Stats::Items => self.stats_items()?,
            Stats::Slabs => self.stats_slabs()?,
            Stats::Reset => {}
        }
        self.say("END\r\n")
    }

    fn stats_general(&mut self) -> io::Result<()> {
        let now = self.cache.now();
        let (store, counters, bytes, buckets) = self.cache.with(|state| {
            let store = &state.store;
            (
                store.counters(),
                state.counters,
                store.bytes(),
                store.buckets(),
            )
        });
        let vm = denali_rt::registers::get().vm_id;
        self.stat("pid", vm)?;
        self.stat("uptime", now.tick - self.cache.started.tick)?;
        self.stat("time", now.unix)?;
        self.stat_text("version", VERSION)?;
        for (name, value) in [
            ("pointer_size", 64),
            ("max_connections", self.cache.limits.connections_max as u64),
            ("curr_connections", counters.curr_connections),
            ("total_connections", counters.total_connections),
            ("rejected_connections", counters.rejected_connections),
            ("idle_kicks", counters.idle_kicks),
            ("cmd_get", counters.get.hits + counters.get.misses),
            ("cmd_set", counters.cmd_set),
            ("cmd_flush", counters.cmd_flush),
            ("cmd_touch", counters.touch.hits + counters.touch.misses),
            ("cmd_meta", counters.cmd_meta),
            ("get_hits", counters.get.hits),
            ("get_misses", counters.get.misses),
            ("get_expired", store.found_expired),
            ("get_flushed", store.found_flushed),
            ("delete_misses", counters.delete.misses),
            ("delete_hits", counters.delete.hits),
            ("incr_misses", counters.incr.misses),
            ("incr_hits", counters.incr.hits),
            ("decr_misses", counters.decr.misses),
            ("decr_hits", counters.decr.hits),
            ("cas_misses", counters.cas.misses),
            ("cas_hits", counters.cas.hits),
            ("cas_badval", counters.cas_badval),
            ("touch_hits", counters.touch.hits),
            ("touch_misses", counters.touch.misses),
            ("store_too_large", counters.store_too_large),
            ("store_no_memory", counters.store_no_memory),
            ("bytes_read", counters.bytes_read),
            ("bytes_written", counters.bytes_written),
            ("limit_maxbytes", bytes.1 as u64),
            ("accepting_conns", 1),
            ("threads", 1),
            ("hash_bytes", 4 * buckets as u64),
            ("bytes", bytes.0 as u64),
            ("curr_items", store.items),
            ("total_items", store.items_total),
            ("evicted_unfetched", store.evicted_unfetched),
            ("evictions", store.evicted),
            ("reclaimed", store.reclaimed),
        ] {
            self.stat(name, value)?;
        }
        Ok(())
    }

    fn stats_settings(&mut self) -> io::Result<()> {
        let limits = self.cache.limits;
        let maxbytes = self.cache.with(|state| state.store.bytes().1);
        self.stat("maxbytes", maxbytes as u64)?;
        self.stat("maxconns", limits.connections_max as u64)?;
        self.stat("tcpport", crate::PORT)?;
        self.stat("udpport", 0_u32)?;
        self.stat("verbosity", 0_u32)?;
        self.stat_text("evictions", "on")?;
        self.stat("chunk_size", BLOCK_LEN as u64)?;
        self.stat("num_threads", 1_u32)?;
        self.stat_text("cas_enabled", "yes")?;
        self.stat_text("flush_enabled", "yes")?;
        self.stat_text("maxconns_fast", "yes")?;
        let idle = limits.patience.idle.unwrap_or_default();
        self.stat("idle_timeout", idle.as_secs())?;
        self.stat("item_size_max", limits.store.item_len_max as u64)
    }

    /// There is one class: blocks of one size hold all items.
    fn stats_items(&mut self) -> io::Result<()> {
        let now = self.cache.now();
        let (store, oldest, no_memory) = self.cache.with(|state| {
            let oldest = state.store.oldest_access();
            (
                state.store.counters(),
                oldest,
                state.counters.store_no_memory,
            )
        });
        let Some(oldest) = oldest else { return Ok(()) };
        self.stat("items:1:number", store.items)?;
        self.stat("items:1:age", now.tick.saturating_sub(oldest))?;
        self.stat("items:1:evicted", store.evicted)?;
        self.stat("items:1:outofmemory", no_memory)?;
        self.stat("items:1:reclaimed", store.reclaimed)?;
        self.stat("items:1:evicted_unfetched", store.evicted_unfetched)
    }

    fn stats_slabs(&mut self) -> io::Result<()> {
        let (used, capacity, _) = self.cache.with(|state| state.store.blocks());
        let pages = capacity / SEGMENT_BLOCKS;
        for (name, value) in [
            ("1:chunk_size", BLOCK_LEN),
            ("1:chunks_per_page", SEGMENT_BLOCKS),
            ("1:total_pages", pages),
            ("1:total_chunks", capacity),
            ("1:used_chunks", used),
            ("1:free_chunks", capacity - used),
            ("active_slabs", pages.min(1)),
            ("total_malloced", capacity * BLOCK_LEN),
        ] {
            self.stat(name, value as u64)?;
        }
        Ok(())
    }

    fn stat(&mut self, name: &str, value: impl Into<u64>) -> io::Result<()> {
        self.ensure(HEAD_MAX)?;
        self.begin_stat(name);
        self.output.push_number(value);
        self.output.push(b"\r\n");
        Ok(())
    }

    fn stat_text(&mut self, name: &str, value: &str) -> io::Result<()> {
        self.ensure(HEAD_MAX)?;
        self.begin_stat(name);
        self.output.push(value.as_bytes());
        self.output.push(b"\r\n");
        Ok(())
    }

    fn begin_stat(&mut self, name: &str) {
        self.output.push(b"STAT ");
        self.output.push(name.as_bytes());
        self.output.push(b" ");
    }
}
