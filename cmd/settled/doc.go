// Command settled applies refunds, recharges and idle-balance sweeps to a wallet's books.
//
// One binary holds every process (api, worker, scheduler), what starts them (dev, migrate, key, webhook) and looks at them
// (healthcheck), what people ask and mend the books with (request, show, balance, statement, audit, dead, requeue, policy), and what
// shows, measures and breaks it (demo, bench, drill, simulate). Each command has a file of its own, named after
// it. Program is what main runs, with its streams and environment handed in, so that tests run the very same program.
//
// # Exit codes
//
//	0    done, and all is well
//	1    done, and the answer is no: a request was refused or conflicts, an invariant is broken, what was asked for does not exist
//	2    the command line or a setting is wrong; it is named, and nothing was done
//	3    not done: a server is away or failed, or the answer could not be written; run the same command again, which is always safe
//	130  interrupted
//
// `settled dev -- CMD` exits as CMD does.
//
// # Settings
//
// A flag wins over the environment's variable that its help names, which wins over the default. URLs may hold passwords: they are
// never printed or logged, and the environment hides them from other users' process lists where a flag does not.
package main
