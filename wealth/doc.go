// Package wealth holds the rules that put idle balance to work: a user's consent to be swept into a product, and the night's sweep.
//
// # States
//
//	wealth:enrol   stores the enrolment; a later one replaces the keep amount and the consent version
//	sweep:run      asks each book for its first part
//	sweep:chunk    user cash -> user wealth, once per user of the page above the keep amount; asks for the next part while pages are full
//
// Each subscription that a sweep makes starts as pending; confirming it with the provider comes after the sweep and is not here.
//
// # Invariants
//
//   - S1 A sweep leaves at least the keep amount, and all that is held (I8): it takes what is available above the keep amount, or nothing
//     when that is less than the product's smallest subscription.
//   - S2 One sweep per user, product and business date (I8). A night is the request sweep:run <product>/<date>; its parts are follow-ups
//     whose keys name product, date, book and the user after whom they begin; each begins where the one before it ended.
//   - S3 Amounts and consent are read under the book's lock, when the user's turn comes, not when the night begins. What lands before
//     the turn is swept tonight, what lands after it tomorrow.
//   - S4 A user is swept only into a product in which they are enrolled and which the policy offers at that moment.
//
// # Failures
//
// A product that the policy does not offer (any more) is a refusal. Of a night that stopped between two parts, the next part is an
// accepted request like any other, and goes on where the last one ended. Users who enrol while the night runs are swept if their turn
// has not passed.
//
// # Sources
//
// Nightly transfer of idle balance is what Yu'e Bao's records call 余额宝-自动转入. Consent by product and version, checked when the
// sweep executes, follows the fund sellers' agreements. The hour of the run decides the trading day and is the scheduler's business.
package wealth
