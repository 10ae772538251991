-- Whose money it is: what an account is charged, or what a Hub of this machine says it would cost, which nobody pays.
ALTER TABLE ledger_entries ADD COLUMN book TEXT COLLATE "C" NOT NULL DEFAULT 'account';    -- account, simulated

-- Each book is added up for itself.
ALTER TABLE ledger_sums ADD COLUMN book TEXT COLLATE "C" NOT NULL DEFAULT 'account';
ALTER TABLE ledger_sums DROP CONSTRAINT ledger_sums_pkey;
ALTER TABLE ledger_sums ADD PRIMARY KEY (book, kind, bucket, service);
