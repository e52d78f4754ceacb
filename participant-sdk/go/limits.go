package assent

import "time"

// The limits of the contract that this side keeps, and the times that it has; docs/limits-of-sdks.md has all of them, with what comes
// beyond each.
const (
	MaxResultBytes        = 256 << 10
	MaxReasonBytes        = 1024
	maxFrameMessagesCount = 256
	maxFrameBytes         = 1 << 20
	// A transaction in full is larger than a frame, of which a coordinator sends 8 MiB at most.
	maxMessageBytes = 16 << 20

	maxNameBytes        = 128
	maxGIDBytes         = 64
	maxBranchIDBytes    = 64
	MaxPayloadBytes     = 1 << 20
	maxTransactionBytes = 3 << 20 // all payloads and headers together
	maxBranchesCount    = 128
	maxLabelsCount      = 16
	maxHeadersCount     = 16
	maxKeyBytes         = 64 // of a label or a header
	maxLabelValueBytes  = 256
	maxHeaderValueBytes = 1024
	maxTracestateBytes  = 512
	maxAttemptsCount    = 1_000_000
	maxDeadline         = 7 * 24 * 60 * time.Minute
	maxBranchTime       = 60 * time.Minute

	maxCoordinatorsCount = 32
	maxQuestionsCount    = 1024 // on their way
	maxLinksCount        = 64
	defaultMaxInFlight   = 1024

	patience       = 10 * time.Second // for the Welcome, and for the end of a session that we have left
	goodConnection = 5 * time.Second  // one that lasted so long: the next dial does not inherit the waits of the failures before it

	reconnectInitial = 50 * time.Millisecond
	reconnectMax     = 2 * time.Second
	questionInterval = 5 * time.Second
	stopGrace        = 10 * time.Second
	keepalivePeriod  = 20 * time.Second

	// Of a call.
	defaultDeadline     = 60 * time.Second // of a transaction that has none, as the coordinator has it
	beyondDeadline      = 10 * time.Second
	withoutDeadline     = 20 * time.Second
	giveUpAfter         = 10 * time.Second
	firstAsked          = time.Second // of a CheckBack
	backoffInitial      = 20 * time.Millisecond
	backoffMax          = time.Second
	maxRetryAfter       = 30 * time.Second // that a coordinator may ask for
	rollbackOfAbandoned = 2 * time.Second  // it does not insist: the coordinator's deadline does the rest
)
