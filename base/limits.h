// Every limit of the product, in one place. Exceeding one is an error that names it.
#pragma once

#include <cstdint>

namespace swage::limits {

// Files from outside.
inline constexpr uint64_t kSafetensorsHeaderBytes = 100ull << 20;  // the reference implementation's own bound
inline constexpr uint64_t kTensorsPerFile = 1u << 18;
inline constexpr uint64_t kTensorRank = 8;
inline constexpr uint64_t kTensorNameBytes = 1024;
inline constexpr uint64_t kConfigJsonBytes = 16u << 20;
inline constexpr uint64_t kShardIndexBytes = 64u << 20;
inline constexpr uint64_t kTokenizerJsonBytes = 256u << 20;
inline constexpr uint64_t kGgufPairs = 1u << 16;         // metadata of one file
inline constexpr uint64_t kGgufKeyBytes = 1024;
inline constexpr uint64_t kTextFileBytes = 4ull << 30;
inline constexpr uint64_t kFilesPerArtifact = 65536;
inline constexpr uint64_t kFolderDepth = 32;
inline constexpr uint64_t kManifestBytes = 256u << 20;
inline constexpr uint64_t kRecipeBytes = 256u << 10;

// Models: bounds of the numbers in a config.json, far above any model, far below an overflow when multiplied.
inline constexpr int64_t kModelLayers = 4096;
inline constexpr int64_t kModelWidth = 1 << 22;      // hidden, ffn
inline constexpr int64_t kModelHeads = 1 << 16;
inline constexpr int64_t kModelHeadDim = 1 << 16;
inline constexpr int64_t kModelVocab = 1 << 24;
inline constexpr int64_t kModelPositions = 1 << 30;
inline constexpr int64_t kModelExperts = 1 << 16;    // of all layers together

// RPC.
inline constexpr uint64_t kMessageBytes = 8u << 20;     // one gRPC message
inline constexpr uint64_t kChunkBytes = 1u << 20;       // payload of one stream message
inline constexpr uint64_t kFindMissingDigests = 4096;   // per call
inline constexpr int kUnaryDeadlineMs = 10000;
inline constexpr int kGivenUnaryDeadlineMs = 60000;       // given by the server to a call that brings none
inline constexpr int kGivenStreamDeadlineMs = 3600000;
inline constexpr int kServerThreads = 128;              // of one server's synchronous calls; beyond: RESOURCE_EXHAUSTED
inline constexpr int kSubmissionsInLine = 4096;  // calls of CreateJob that wait in one control plane
inline constexpr int kStreamIdleDeadlineMs = 60000;     // a stream that moves nothing for so long is ended

// Leases (DESIGN 5). Overridden by --lease-ms; fence = 80 % of the lease.
inline constexpr int kLeaseMs = 10000;
inline constexpr int kSynchronizeHoldMs = 3000;         // longest time the server holds an idle Synchronize
inline constexpr int kRequestIdHours = 24;

// Hidden states of a calibration that stay in memory; more go to a file in the scratch folder.
inline constexpr int64_t kHiddenStateBytes = int64_t{1} << 30;

// Scheduling.
inline constexpr int kQueuedJobsPerTenant = 100000;
inline constexpr int kJobAttempts = 3;       // budget of failures that are the job's
inline constexpr int kInfraLosses = 10;      // budget of losses that are ours
inline constexpr int kPoisonCrashes = 3;     // workers lost under a job that made no progress in between
inline constexpr int kEvictionsPerJob = 2;   // preempted more often than that it is not
inline constexpr int kJobDependencies = 64;
inline constexpr int kGangMembers = 64;
inline constexpr int kDevicesPerMember = 16;
inline constexpr int kUsageHalfLifeSeconds = 24 * 3600;
inline constexpr int kMinRuntimeMs = 120'000;   // a job runs at least so long before it is preempted
inline constexpr int kStopGraceMs = 30'000;     // to write a checkpoint when asked to stop
inline constexpr int kGangBarrierMs = 60'000;   // for all members to be ready
inline constexpr uint64_t kRendezvousBytes = 16u << 10;  // that one member of a gang tells the others
inline constexpr int kCollectiveMs = 600'000;   // for all members of a gang to come to one exchange, and for its end
inline constexpr int kCheckpointShareMs = 60'000;  // between checkpoints of a running job that are put into the store
inline constexpr int kSelfTestMs = 600'000;  // between self-tests of an idle worker's devices
inline constexpr int kFinishedJobDays = 30;     // then its record and events are deleted
inline constexpr double kLeastWeight = 0.001, kMostWeight = 1000;  // of a tenant
inline constexpr int kWatchEventsPerSecond = 2;  // progress only; state changes are never dropped

// What a worker may say of itself in a Synchronize call.
inline constexpr int kLeastLeaseMs = 100;
inline constexpr int kWorkerSlots = 1024;
inline constexpr int kWorkerDevices = 256;
inline constexpr int kWorkerMethods = 4096;
inline constexpr int kWorkerCachedModels = 64;
inline constexpr uint64_t kWorkerIdBytes = 128;
inline constexpr uint64_t kStageBytes = 128;
inline constexpr uint64_t kStatusMessageBytes = 4096;
inline constexpr uint64_t kDeviceBytes = 1ull << 50;

// Store.
inline constexpr uint64_t kFrameBytes = 1u << 20;       // raw bytes of one frame
inline constexpr int kLeaseOfObjectsMs = 3600 * 1000;   // an upload's objects are kept so long without a manifest
inline constexpr uint64_t kObjectBytes = 1ull << 44;    // raw bytes of one object
inline constexpr uint64_t kNameBytes = 100;             // of an alias, a job's name or an upload's
inline constexpr uint64_t kDiskReserveBytes = 64u << 20;  // kept free, so that the index can always be written

}  // namespace swage::limits
