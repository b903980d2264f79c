PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES('schema','2');
INSERT INTO meta VALUES('written_by','runner 0.1.0');
CREATE TABLE run (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  part_of INTEGER,             -- the run whose spec changed and no longer has these slices; NULL: a run of its own
  name TEXT NOT NULL,
  spec_path TEXT NOT NULL,
  spec TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  boot_id TEXT,                -- of the host's kernel; NULL: not known
  containment TEXT,            -- what holds the slices' processes; NULL: not known
  place TEXT,                  -- of this file, so that a copy knows that it is one; NULL: not known
  state TEXT NOT NULL,
  started_at REAL NOT NULL,
  resumed_at REAL,
  ended_at REAL,
  resumes INTEGER NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '',
  settings TEXT NOT NULL       -- what the command line changed, a "name=value" a line
);
INSERT INTO run VALUES(1,'20261121-190421-d6ig',NULL,'jobs','/data/jobs.yaml',replace('slices: 0-7\nn_procs: 2\ncommand: >\n  echo {slice}.{attempt} >> ran; echo hello {slice};\n  test {slice}.{attempt} != 2.1 || exit 3;\n  test {slice} -lt 4 || test -e go || sleep 60\n','\n',char(10)),'node7',659,'bf5a2786-1698-48cc-bad6-cc64f7659958','guard, death signal, cookie','10970775','running',1795287861.0958158969,NULL,NULL,0,'','');
CREATE TABLE job (
  run INTEGER NOT NULL,
  job INTEGER NOT NULL,        -- position in the spec, from 0
  name TEXT NOT NULL,
  slices INTEGER NOT NULL,
  fingerprint INTEGER NOT NULL,
  selection TEXT NOT NULL,     -- indices chosen by --slices, '' for all
  PRIMARY KEY (run, job)
) WITHOUT ROWID;
INSERT INTO job VALUES(1,0,'jobs',8,8275122138238049699,'');
CREATE TABLE attempt (
  run INTEGER NOT NULL,        -- run.number
  job INTEGER NOT NULL,
  slice INTEGER NOT NULL,      -- index, from 0
  number INTEGER NOT NULL,     -- from 1
  key TEXT NOT NULL,
  outcome TEXT,                -- NULL: claimed, or running
  exit_code INTEGER,
  signal INTEGER,
  started_at REAL,
  ended_at REAL,
  runtime_s REAL,
  user_s REAL,
  system_s REAL,
  max_rss_kib INTEGER,
  host TEXT,
  pid INTEGER,
  log TEXT,                    -- relative to runs/<run id>
  detail TEXT,
  PRIMARY KEY (run, job, slice, number)
) WITHOUT ROWID;
INSERT INTO attempt VALUES(1,0,0,1,'0','succeeded',0,NULL,1795287861.1425380706,1795287861.1439239978,0.001386120000000000017,0.00088900000000000003325,0.0,10672,'node7',665,'slices/0000/0.1.log',NULL);
INSERT INTO attempt VALUES(1,0,1,1,'1','succeeded',0,NULL,1795287861.1429910659,1795287861.144550085,0.0015593479999999998973,0.00090700000000000003709,0.0,10672,'node7',666,'slices/0000/1.1.log',NULL);
INSERT INTO attempt VALUES(1,0,2,1,'2','failed',3,NULL,1795287861.1446979046,1795287861.1460189819,0.0013209319999999999221,0.00076900000000000004376,0.0,10672,'node7',667,'slices/0000/2.1.log',NULL);
INSERT INTO attempt VALUES(1,0,3,1,'3','succeeded',0,NULL,1795287861.1457109451,1795287861.1468970774,0.0011864639999999999214,0.0008710000000000000294,0.0,10672,'node7',668,'slices/0000/3.1.log',NULL);
INSERT INTO attempt VALUES(1,0,4,1,'4',NULL,NULL,NULL,1795287861.1469728947,NULL,NULL,NULL,NULL,NULL,'node7',669,'slices/.slot-0.log',NULL);
INSERT INTO attempt VALUES(1,0,5,1,'5',NULL,NULL,NULL,1795287861.1496748923,NULL,NULL,NULL,NULL,NULL,'node7',670,'slices/.slot-1.log',NULL);
INSERT INTO attempt VALUES(1,0,6,1,'6',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO attempt VALUES(1,0,7,1,'7',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE VIEW slice_state AS
SELECT r.id AS run, j.name AS job, a.slice, a.key,
       CASE WHEN a.outcome = 'succeeded' THEN 'completed' WHEN a.outcome IS NOT NULL THEN 'terminated'
            WHEN a.pid IS NOT NULL THEN 'running' ELSE 'ready' END AS state,
       a.number AS attempts, a.outcome, a.exit_code, a.signal, a.started_at, a.ended_at, a.runtime_s, a.user_s,
       a.system_s, a.max_rss_kib, a.host, a.pid, a.log, a.detail
FROM attempt a JOIN run r ON r.number = a.run JOIN job j ON j.run = a.run AND j.job = a.job
WHERE NOT EXISTS (SELECT 1 FROM attempt later
                  WHERE later.run = a.run AND later.job = a.job AND later.slice = a.slice AND later.number > a.number);
CREATE VIEW failure AS
SELECT run, job, slice, key, attempts, outcome, exit_code, signal, started_at, ended_at, runtime_s, host, log, detail
FROM slice_state WHERE outcome <> 'succeeded';
CREATE VIEW joblog AS
SELECT r.id AS run, j.name AS job, a.slice + 1 AS Seq, a.host AS Host, a.started_at AS Starttime,
       a.runtime_s AS JobRuntime, 0 AS Send, 0 AS Receive, ifnull(a.exit_code, 0) AS Exitval,
       ifnull(a.signal, 0) AS Signal, a.key AS Key, a.number AS Attempt
FROM attempt a JOIN run r ON r.number = a.run JOIN job j ON j.run = a.run AND j.job = a.job
WHERE a.ended_at IS NOT NULL ORDER BY a.ended_at;
COMMIT;
