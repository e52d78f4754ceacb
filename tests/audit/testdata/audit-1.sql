-- audit.db of the format before the chain: a dump of what assentd of then wrote, and an entry of one
-- that died before the end.
BEGIN TRANSACTION;
CREATE TABLE audit (
  at_ms INTEGER NOT NULL, epoch INTEGER NOT NULL, number INTEGER NOT NULL,
  node TEXT NOT NULL, verb TEXT NOT NULL, gid TEXT NOT NULL, branch TEXT NOT NULL,
  detail TEXT NOT NULL, who TEXT NOT NULL, reason TEXT NOT NULL, address TEXT NOT NULL,
  was TEXT NOT NULL DEFAULT '', code INTEGER, said TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (at_ms, epoch, number)) WITHOUT ROWID;
INSERT INTO "audit" VALUES(1795845406104,29630415,1,'','suspend','order-1','','','ann','it''s "late"','ipv4:10.0.0.1','',5,'no transaction order-1 among the unfinished and the retained finished ones');
INSERT INTO "audit" VALUES(1795845406161,29630415,2,'','resume','order-1','','','bob','ok','ipv4:10.0.0.1','',5,'no transaction order-1 among the unfinished and the retained finished ones');
INSERT INTO "audit" VALUES(1795845406227,29630415,3,'','resume','order-1','','','bob','again','ipv4:10.0.0.1','',5,'no transaction order-1 among the unfinished and the retained finished ones');
INSERT INTO "audit" VALUES(1795845406325,29630415,4,'','abort','nobody','','','ann','x','ipv4:10.0.0.1','',5,'no transaction nobody among the unfinished and the retained finished ones');
INSERT INTO "audit" VALUES(1795845407000,29630415,5,'','retry','order-2','','','ann','','ipv4:10.0.0.1','',NULL,'');
CREATE INDEX audit_by_gid ON audit (gid, at_ms, epoch, number);
COMMIT;
