import java.io.BufferedInputStream;
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/** What TorchServe's ZipUtils.unzip finds in each archive whose path is a line of the input. */
public class Unzip {
    public static void main(String[] words) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String path = lines.readLine(); path != null; path = lines.readLine()) {
            var found = new StringBuilder();
            try (var zip = new ZipInputStream(
                    new BufferedInputStream(new FileInputStream(path)))) {
                for (ZipEntry entry = zip.getNextEntry(); entry != null;
                        entry = zip.getNextEntry()) {
                    byte[] content = zip.readAllBytes();
                    byte[] hash = MessageDigest.getInstance("SHA-256").digest(content);
                    String name = HexFormat.of().formatHex(
                            entry.getName().getBytes(StandardCharsets.UTF_8));
                    found.append(' ').append(name).append('=')
                            .append(HexFormat.of().formatHex(hash));
                }
            } catch (Exception error) {
                found.append(" !").append(error.getClass().getSimpleName());
            }
            System.out.println(found.toString().strip());
        }
    }
}
