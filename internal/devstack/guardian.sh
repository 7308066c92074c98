# Outlives the process that started it just long enough to clean up. Arguments: the directory to remove, the signal
# that ends the server at once. Input: "watch PID" names the server ("watch" alone: none runs), "release" ends the
# guardian. End of input means that the writer died.
dir=$1
signal=$2
server=

while read -r verb value; do
	case $verb in
	watch) server=$value ;;
	release) exit 0 ;;
	esac
done

[ -n "$server" ] && kill -s "$signal" "$server"

# The server may still write while its directory goes, so removing is repeated.
tries=0
until rm -rf -- "$dir" || [ "$tries" -ge 100 ]; do
	tries=$((tries + 1))
	sleep 0.1
done

# A stopped or stuck server does not heed a polite signal.
tries=0
while [ -n "$server" ] && kill -0 "$server" && [ "$tries" -lt 50 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
[ -n "$server" ] && kill -s KILL "$server"
