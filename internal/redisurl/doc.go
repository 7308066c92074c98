// Package redisurl reads what REDIS_URL says and opens it: one Redis, or the master that Redis Sentinels name.
//
// # Forms
//
//	redis://user:password@host:6379/0                                             one server; rediss:// encrypts
//	unix:///path/of/socket?db=0                                                   the same over a socket
//	redis://host1:26379/0?master_name=NAME&addr=host2:26379&addr=host3:26379      the master NAME of three Sentinels
//
// They are go-redis's own (ParseURL, ParseFailoverURL). In the last form the user and password before the @ are the Sentinels';
// &username= and &password= are the master's. After a failover the client goes on with the new master by itself.
//
// # Failures
//
// A URL that cannot be read is an *Error, which holds nothing secret: its parts are not certain.
package redisurl
