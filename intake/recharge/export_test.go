package recharge

// TracePaymentsSQL is for a test of its plan.
const TracePaymentsSQL = tracePaymentsSQL
