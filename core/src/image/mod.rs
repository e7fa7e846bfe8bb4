//! Pictures: resizing that training, calibration and the device share.

pub(crate) mod resize;
