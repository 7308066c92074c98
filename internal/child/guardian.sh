# Outlives the process that started it just long enough to kill what it watches. Input: "watch PID" and "forget PID"; the end of
# input means that the writer has ended.
watched=" "
while read -r verb pid; do
	case $verb in
	watch) watched="$watched$pid " ;;
	forget) watched="${watched%% "$pid" *} ${watched#* "$pid" }" ;;
	esac
done
for pid in $watched; do
	kill -KILL "$pid"
done
exit 0
