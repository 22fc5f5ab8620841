//! `proxy_define_metric`, `proxy_increment_metric`, `proxy_record_metric`, `proxy_get_metric`.

use super::{Answer, Call};
use crate::host::metrics;
use crate::host::stream::{MetricUpdate, Services as _, Stream};
use crate::host::types::{MetricType, Status};

/// Longest name, in bytes. Names go to every scrape of the proxy's stats.
const LONGEST_NAME: u32 = 4096;

pub(super) fn define<S: Stream>(
    call: &mut Call<'_, S>,
    kind: u32,
    name: u32,
    length: u32,
    id_at: u32,
) -> Answer {
    let kind = MetricType::try_from(kind)?;
    let name = call.read(name, length)?;
    if length > LONGEST_NAME {
        return Err(Status::BadArgument.into());
    }
    let name = String::from_utf8_lossy(name).into_owned();
    call.check_words(&[id_at])?;
    let state = call.state();
    if !state.metrics.has_room(kind, name.len()) {
        return Err(Status::InternalFailure.into());
    }
    let metric = state.services.define_metric(kind, &name);
    let id = state.metrics.enter(kind, name.len(), metric).ok_or(Status::InternalFailure)?;
    Ok(call.write_u32(id_at, id)?)
}

pub(super) fn increment<S: Stream>(call: &mut Call<'_, S>, id: u32, offset: i64) -> Answer {
    let (kind, _) = call.state().metrics.find(id).map_err(|kind| match kind {
        Some(MetricType::Counter | MetricType::Gauge) => Status::NotFound,
        Some(MetricType::Histogram) | None => Status::BadArgument,
    })?;
    update(call, id, metrics::increment(kind, offset)?)
}

pub(super) fn record<S: Stream>(call: &mut Call<'_, S>, id: u32, value: u64) -> Answer {
    let (kind, _) = call.state().metrics.find(id).map_err(|_kind| Status::NotFound)?;
    update(call, id, metrics::record(kind, value))
}

fn update<S: Stream>(call: &mut Call<'_, S>, id: u32, change: MetricUpdate) -> Answer {
    call.with_stream(|call, stream| {
        let state = call.state();
        let (_, metric) = state.metrics.find(id).map_err(|_kind| Status::NotFound)?;
        let is_shown = if let Some(stream) = stream {
            stream.stream.update_metric(&state.services, metric, change)
        } else {
            state.services.update_metric(metric, change);
            false
        };
        state.has_changed_metrics |= !is_shown;
        Ok(())
    })
}

pub(super) fn get<S: Stream>(call: &mut Call<'_, S>, id: u32, result: u32) -> Answer {
    let state = call.state();
    let value = match state.metrics.find(id) {
        Ok((MetricType::Counter | MetricType::Gauge, metric)) => state.services.read_metric(metric),
        Err(Some(MetricType::Counter | MetricType::Gauge)) => return Err(Status::NotFound.into()),
        Ok((MetricType::Histogram, _)) | Err(Some(MetricType::Histogram) | None) => {
            return Err(Status::BadArgument.into());
        }
    };
    Ok(call.write_u64(result, value)?)
}
