package notice

// NoticesMax is for a test of those who would fill it.
const NoticesMax = noticesMax
