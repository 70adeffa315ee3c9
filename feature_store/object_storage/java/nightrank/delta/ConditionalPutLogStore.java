package nightrank.delta;

import io.delta.storage.HadoopFileSystemLogStore;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.util.Arrays;
import java.util.Iterator;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.s3a.S3AFileSystem;
import org.apache.hadoop.fs.s3a.S3AUtils;
import org.apache.hadoop.fs.store.audit.AuditSpan;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.exception.AbortedException;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.GetObjectRequest;
import software.amazon.awssdk.services.s3.model.NoSuchKeyException;
import software.amazon.awssdk.services.s3.model.PutObjectRequest;

/**
 * Delta's log in an S3 bucket, for several writers in several processes: a commit is one PUT with {@code If-None-Match: *}, so of
 * all that write the same version one succeeds. Needs no table of locks beside the bucket.
 *
 * <p>The outcome of a PUT can be unknown: the store writes, and the connection breaks before the answer. A second sending is then
 * refused although the first one won. So after a refusal or a silence the object is read. A commit holds its transaction's random
 * id, so if it is what was sent, it is ours.
 *
 * <p>The client is that of S3A for the bucket: same address, region, credentials, encryption, time limits and retries.
 * {@code fs.s3a.retry.limit} and {@code fs.s3a.retry.interval} also bound how often a PUT is sent again that did not happen.
 */
public final class ConditionalPutLogStore extends HadoopFileSystemLogStore {
  private static final String WHY = "commit of a Delta table";
  private static final String OPERATION = "op_delta_commit";
  private static final int CONFLICT = 409;
  private static final int REFUSED = 412;

  public ConditionalPutLogStore(Configuration conf) {
    super(conf);
  }

  /**
   * The lines are at {@code path} as a whole afterwards.
   *
   * @throws FileAlreadyExistsException without {@code overwrite}, if another writer's content is there
   */
  @Override
  public void write(Path path, Iterator<String> lines, Boolean overwrite, Configuration conf) throws IOException {
    S3AFileSystem bucket = bucketOf(path, conf);
    byte[] content = joined(lines);
    try (AuditSpan span = bucket.createSpan(OPERATION, path.toString(), null)) {
      span.activate();
      if (overwrite) {
        replace(bucket, path, content);
      } else {
        create(bucket, path, content, conf);
      }
    }
  }

  /** A PUT is seen as a whole or not at all, so checkpoints need no rename. */
  @Override
  public Boolean isPartialWriteVisible(Path path, Configuration conf) {
    return false;
  }

  private static void replace(S3AFileSystem bucket, Path path, byte[] content) throws IOException {
    try {
      put(bucket, path, content, false);
    } catch (SdkException fault) {
      throw S3AUtils.translateException(WHY, path, fault);
    }
  }

  private static void create(S3AFileSystem bucket, Path path, byte[] content, Configuration conf) throws IOException {
    int retries = conf.getInt("fs.s3a.retry.limit", 7);
    long pause = conf.getTimeDuration("fs.s3a.retry.interval", 500, TimeUnit.MILLISECONDS);
    for (int attempt = 0; ; attempt++) {
      try {
        put(bucket, path, content, true);
        return;
      } catch (SdkException fault) {
        if (!mayHaveHappened(fault)) {
          throw S3AUtils.translateException(WHY, path, fault);
        }
        byte[] found = found(bucket, path, fault);
        if (found != null && Arrays.equals(found, content)) {
          return;
        }
        if (found != null || status(fault) == REFUSED) {
          throw new FileAlreadyExistsException(path.toString());
        }
        if (attempt >= retries) {
          throw S3AUtils.translateException(WHY, path, fault);
        }
        sleep(pause << Math.min(attempt, 20));
      }
    }
  }

  private static void put(S3AFileSystem bucket, Path path, byte[] content, boolean onlyIfAbsent) throws IOException {
    PutObjectRequest.Builder request =
        bucket.getRequestFactory().newPutObjectRequestBuilder(bucket.pathToKey(path), null, content.length, false);
    if (onlyIfAbsent) {
      request.ifNoneMatch("*");
    }
    client(bucket).putObject(request.build(), RequestBody.fromBytes(content));
  }

  /** What is at the path; null if nothing is. */
  private static byte[] found(S3AFileSystem bucket, Path path, SdkException before) throws IOException {
    GetObjectRequest request = bucket.getRequestFactory().newGetObjectRequestBuilder(bucket.pathToKey(path)).build();
    try {
      return client(bucket).getObjectAsBytes(request).asByteArrayUnsafe();
    } catch (NoSuchKeyException absent) {
      return null;
    } catch (SdkException fault) {
      fault.addSuppressed(before);
      throw S3AUtils.translateException(WHY, path, fault);
    }
  }

  /** Whether the object may be there nevertheless: a refusal, a conflict, a fault of the server, or no answer at all. */
  private static boolean mayHaveHappened(SdkException fault) {
    int status = status(fault);
    return !(fault instanceof AbortedException) && (status == 0 || status == CONFLICT || status == REFUSED || status >= 500);
  }

  private static int status(SdkException fault) {
    return fault instanceof AwsServiceException ? ((AwsServiceException) fault).statusCode() : 0;
  }

  private static S3Client client(S3AFileSystem bucket) {
    return bucket.getS3AInternals().getAmazonS3Client(WHY);
  }

  private static S3AFileSystem bucketOf(Path path, Configuration conf) throws IOException {
    FileSystem found = path.getFileSystem(conf);
    if (found instanceof S3AFileSystem) {
      return (S3AFileSystem) found;
    }
    throw new IOException(path + " is served by " + found.getClass().getName() + ", and this log store needs S3A");
  }

  private static byte[] joined(Iterator<String> lines) {
    ByteArrayOutputStream content = new ByteArrayOutputStream();
    while (lines.hasNext()) {
      content.writeBytes((lines.next() + "\n").getBytes(StandardCharsets.UTF_8));
    }
    return content.toByteArray();
  }

  private static void sleep(long milliseconds) throws IOException {
    try {
      Thread.sleep(milliseconds / 2 + ThreadLocalRandom.current().nextLong(milliseconds + 1));
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new InterruptedIOException("interrupted during the " + WHY);
    }
  }
}
