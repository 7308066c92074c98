// Package ledgertest gives a test books of its own: a migrated database, a ledger with all rules, a client, and the audit at the
// end. No Redis: requests are applied by calling the ledger, and what a batch makes due is applied by Settle.
package ledgertest
