//! Lists of calls: filters, full-text search, pages.

use sqlx::{QueryBuilder, SqliteConnection};

use super::SqliteStore;
use super::calls::{CallRow, select_calls};
use crate::ids::UserId;
use crate::limits;
use crate::store::columns::encode_enum;
use crate::store::cursor::PageCursor;
use crate::store::error::StoreError;
use crate::store::search::{
    HIT_END, HIT_START, SearchQuery, normalize_party_query, split_at_marks,
};
use crate::store::{CallFilter, CallHit, CallPage, SearchHit};

type ListQuery = QueryBuilder<sqlx::Sqlite>;

/// SQL condition: the call has audio.
const RECORDED: &str = "(c.has_audio OR EXISTS (SELECT 1 FROM recordings r \
     WHERE r.call_id = c.id AND r.status NOT IN ('absent', 'failed')))";

impl SqliteStore {
    pub(in crate::store) async fn calls(
        &self,
        filter: &CallFilter,
        only_user: Option<UserId>,
        cursor: Option<PageCursor>,
        limit: u32,
    ) -> Result<CallPage, StoreError> {
        let search = match &filter.q {
            Some(text) => SearchQuery::parse(text)?,
            None => None,
        };
        if search
            .as_ref()
            .is_some_and(|search| search.terms.is_empty())
        {
            let (calls, next) = (Vec::new(), None);
            return Ok(CallPage { calls, next });
        }
        let mut query = ListQuery::new(select_calls!("WHERE 1"));
        if let Some(user) = only_user {
            query.push(" AND c.user_id = ").push_bind(user.0);
        }
        push_filters(&mut query, filter);
        for term in search.iter().flat_map(|search| &search.terms) {
            push_search_term(&mut query, term);
        }
        if let Some(cursor) = cursor {
            query.push(" AND (c.started_at, c.sid) < (");
            query.push_bind(cursor.started_at.millis()).push(", ");
            query.push_bind(cursor.sid.as_str().to_owned()).push(")");
        }
        query.push(" ORDER BY c.started_at DESC, c.sid DESC LIMIT ");
        // One more than the page holds shows whether there is a next page.
        query.push_bind(i64::from(limit) + 1);
        let mut connection = self.readers.begin().await?;
        let mut rows: Vec<CallRow> = query.build_query_as().fetch_all(&mut *connection).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let mut calls = Vec::with_capacity(rows.len());
        for row in rows {
            let hits = match &search {
                Some(search) => load_hits(&mut connection, row.id, search).await?,
                None => Vec::new(),
            };
            let call = row.into_record()?;
            calls.push(CallHit { call, hits });
        }
        connection.commit().await?;
        let last = calls.last().filter(|_| more).map(|hit| PageCursor {
            started_at: hit.call.started_at,
            sid: hit.call.sid.clone(),
        });
        let next = last.map(|cursor| cursor.encode());
        Ok(CallPage { calls, next })
    }
}

fn push_filters(query: &mut ListQuery, filter: &CallFilter) {
    if let Some(direction) = &filter.direction {
        query
            .push(" AND c.direction = ")
            .push_bind(encode_enum(direction));
    }
    if let Some(status) = &filter.status {
        query
            .push(" AND c.status = ")
            .push_bind(encode_enum(status));
    }
    if let Some(number) = &filter.number {
        let needle = normalize_party_query(number);
        for (before, party) in [(" AND (", "from"), (" OR ", "to")] {
            query.push(format!("{before}instr(lower(c.{party}_party), lower("));
            query.push_bind(needle.clone()).push("))");
        }
        query.push(")");
    }
    if let Some(since) = filter.since {
        query
            .push(" AND c.started_at >= ")
            .push_bind(since.millis());
    }
    if let Some(until) = filter.until {
        query.push(" AND c.started_at < ").push_bind(until.millis());
    }
    match filter.recorded {
        Some(true) => query.push(format!(" AND {RECORDED}")),
        Some(false) => query.push(format!(" AND NOT {RECORDED}")),
        None => query,
    };
    if let Some(label) = &filter.label {
        query.push(" AND EXISTS (SELECT 1 FROM json_each(c.labels) WHERE value = ");
        query.push_bind(label.clone()).push(")");
    }
}

/// Adds the condition that the term occurs in the transcript or in the call's own fields.
fn push_search_term(query: &mut ListQuery, term: &str) {
    query.push(
        " AND (c.id IN (SELECT call_id FROM segments WHERE id IN \
         (SELECT rowid FROM segments_fts WHERE segments_fts MATCH ",
    );
    query.push_bind(term.to_owned());
    query.push(")) OR c.id IN (SELECT rowid FROM calls_fts WHERE calls_fts MATCH ");
    query.push_bind(term.to_owned());
    query.push("))");
}

/// Returns the call's first segments that contain one of the terms.
async fn load_hits(
    connection: &mut SqliteConnection,
    call: i64,
    search: &SearchQuery,
) -> Result<Vec<SearchHit>, StoreError> {
    // The query is limited to the row IDs of this call, so that the index does not return every match.
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT s.start_ms, snippet(segments_fts, 0, ?2, ?3, '…', 16) \
         FROM segments_fts JOIN segments s ON s.id = segments_fts.rowid \
         WHERE segments_fts MATCH ?4 AND s.call_id = ?1 AND segments_fts.rowid BETWEEN \
         (SELECT min(id) FROM segments WHERE call_id = ?1) AND \
         (SELECT max(id) FROM segments WHERE call_id = ?1) \
         ORDER BY segments_fts.rowid LIMIT ?5",
    )
    .bind(call)
    .bind(HIT_START.to_string())
    .bind(HIT_END.to_string())
    .bind(search.any_term())
    .bind(limits::HITS_PER_CALL_MAX)
    .fetch_all(connection)
    .await?;
    let hit = |(start_ms, marked): (i64, String)| SearchHit {
        start_ms: start_ms as u64,
        pieces: split_at_marks(&marked),
    };
    Ok(rows.into_iter().map(hit).collect())
}
