"""What runs in a worker: DecodeWorker decodes; AnswerWorker looks up, asks and commits."""
