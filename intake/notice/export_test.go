package notice

// NoticesMax, LargeMax and UsualBytes are for tests of those who would fill them.
const (
	NoticesMax = noticesMax
	LargeMax   = largeMax
	UsualBytes = usualBytes
)
