package tasks

// StartRinger is NewRinger with a rest of its own.
var StartRinger = startRinger
