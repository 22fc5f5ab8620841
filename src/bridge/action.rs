//! What an entry point's answer is in Envoy's terms.

use crate::abi::{BodyStatus, HeadersStatus, TrailersStatus};
use crate::host::types::{BodyAction, HeadersAction, TrailersAction};

/// An answer of one of the three kinds of entry point.
pub(super) trait Action: Copy + Eq {
    /// Envoy's status.
    type Status;
    /// The plugin has no part, or lets it go on.
    const CONTINUE: Self;
    /// Nothing goes on: the stream was answered or ended.
    const STOP: Self;

    /// The answer to the hook.
    fn status(self) -> Self::Status;

    /// Whether something waits here now, to be resumed later.
    fn holds(self) -> bool {
        self != Self::CONTINUE
    }
}

impl Action for HeadersAction {
    type Status = HeadersStatus;
    const CONTINUE: Self = Self::Continue;
    const STOP: Self = Self::StopAllAndWatermark;

    fn status(self) -> HeadersStatus {
        match self {
            Self::Continue => HeadersStatus::Continue,
            Self::StopIteration => HeadersStatus::StopIteration,
            Self::StopAllAndBuffer => HeadersStatus::StopAllIterationAndBuffer,
            Self::StopAllAndWatermark => HeadersStatus::StopAllIterationAndWatermark,
        }
    }
}

impl Action for BodyAction {
    type Status = BodyStatus;
    const CONTINUE: Self = Self::Continue;
    const STOP: Self = Self::StopNoBuffer;

    fn status(self) -> BodyStatus {
        match self {
            Self::Continue => BodyStatus::Continue,
            Self::StopAndBuffer => BodyStatus::StopIterationAndBuffer,
            Self::StopAndWatermark => BodyStatus::StopIterationAndWatermark,
            Self::StopNoBuffer => BodyStatus::StopIterationNoBuffer,
        }
    }
}

impl Action for TrailersAction {
    type Status = TrailersStatus;
    const CONTINUE: Self = Self::Continue;
    const STOP: Self = Self::StopIteration;

    fn status(self) -> TrailersStatus {
        match self {
            Self::Continue => TrailersStatus::Continue,
            Self::StopIteration => TrailersStatus::StopIteration,
        }
    }
}
