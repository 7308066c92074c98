package postgres

// MigrateFrom is Migrate with other migrations than our own.
var MigrateFrom = migrate
