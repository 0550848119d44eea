/** What Explore asks when nobody has written anything yet: how much arrives. */

/** Events per bucket over the range. */
export const COUNT_SQL = `select date_bin($step, time) as bucket,
       count(*) as events
from events
where time >= $from and time < $to
group by 1
order by 1`
