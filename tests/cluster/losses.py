"""What a promotion has lost, by the stores themselves: the one that is gone, and the one that took its place, before anybody can write
to it. All else must be as right as ever."""

import time

TRANSACTIONS = ("SELECT gid || ' live ' || slot || ' ' || serial || ' ' || version FROM assent.live UNION ALL "
                "SELECT gid || ' finished ' || slot || ' ' || serial || ' ' || outcome FROM assent.finished")
LANES = "SELECT l.epoch, l.lane, coalesce((SELECT max(seq) FROM assent.batch b WHERE b.epoch = l.epoch AND b.lane = l.lane), 0) " \
        "FROM assent.lane l"
NEWEST = "SELECT node, max(epoch) FROM assent.member GROUP BY node"
GENERATION = "SELECT generation FROM assent.log"


def rows(text):
    return [tuple(line.split("|")) for line in text.splitlines()]


class Snapshot:
    def __init__(self, sql):
        self.transactions = set(sql(TRANSACTIONS).splitlines())
        self.lanes = {(int(epoch), int(lane)): int(seq) for epoch, lane, seq in rows(sql(LANES))}
        self.epochs = {node: int(epoch) for node, epoch in rows(sql(NEWEST))}
        self.generation = int(sql(GENERATION))


class Loss:
    """Of the last group of a lane it is not known whether it had been acknowledged; of those before it, it is."""

    def __init__(self, old, new):
        self.gids = {words.split(" ", 1)[0] for words in old.transactions ^ new.transactions}
        # Of a member that has ended the old one may have forgotten all.
        self.groups = {lane: max(0, seq - new.lanes.get(lane, 0)) for lane, seq in old.lanes.items()}
        # Of the new one: that the old one's had risen may be lost as well.
        self.generation, self.epochs = new.generation, old.epochs
        self.at = time.monotonic()

    def acknowledged(self, epoch):
        """So many groups at least, of those that this start was told are durable, are gone."""
        return sum(max(0, lost - 1) for (of, _), lost in self.groups.items() if of == epoch)

    def regressed(self, members):
        """Who is up, and must notice: with the process that is not to go on."""
        found = []
        for member in members:
            epoch = self.epochs.get(member.name, 0)
            if member.running() and f"epoch={epoch} " in member.last_words() and self.acknowledged(epoch):
                found.append((member, member.process))
        return found
